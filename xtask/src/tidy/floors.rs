//! Arrows between the modules of a crate point down: nowhere in a circle, and where a crate has floors, never to a higher one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::modules::{Arrow, Arrows, Modules, Path, crates};
use super::tree::Tree;

/// The floors of a crate from top to bottom, and the modules of its root that stand on each.
pub(super) type Floors = (&'static str, &'static [&'static [&'static str]]);

/// The crates that have floors. ARCHITECTURE.md has the same table.
pub(super) const FLOORS: &[Floors] = &[(
    "ums-delivery",
    &[
        &["engine", "fuzzing"],
        &[
            "accept",
            "batches",
            "dispatch",
            "worker",
            "acts",
            "asking",
            "replay",
            "feedback",
            "outbox",
            "housekeeping",
            "suppressions",
            "unsubscribe",
            "lost",
            "submission",
        ],
        &["deliver", "call", "journal", "notices", "desk"],
        &["fate", "gates"],
        &[
            "chain",
            "rates",
            "sharing",
            "retry",
            "rejection",
            "drain",
            "health",
            "endpoints",
            "parking",
        ],
        &["breaker", "pacing", "lanes", "lease", "memory", "in_hand", "queue"],
        &["ports", "shortages", "rules", "observer", "carried"],
    ],
)];

pub(super) fn check(tree: &Tree) -> Vec<String> {
    check_with(tree, FLOORS)
}

fn check_with(tree: &Tree, floors: &[Floors]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (name, modules) in crates(tree) {
        let arrows = modules.arrows();
        complaints.extend(circles(&arrows).into_iter().map(|circle| format!("{name}: {circle}")));
        if let Some((_, floors)) = floors.iter().find(|(of, _)| *of == name) {
            let found = unlisted(&modules, floors).into_iter().chain(upward(&arrows, floors));
            complaints.extend(found.map(|complaint| format!("{name}: {complaint}")));
        }
    }
    complaints
}

/// Modules, and for each a list of others.
type Lists<'p, 't> = BTreeMap<&'p Path<'t>, Vec<&'p Path<'t>>>;

/// Each group of modules that lead to one another, with the shortest circle in it.
fn circles(arrows: &Arrows<'_>) -> Vec<String> {
    let mut next = Lists::new();
    for (from, to) in arrows.keys() {
        next.entry(from).or_default().push(to);
    }
    let ways: BTreeMap<_, _> = next.keys().map(|from| (*from, ways(from, &next))).collect();
    let leads = |from: &Path<'_>, to: &Path<'_>| ways.get(from).is_some_and(|ways| ways.contains_key(to));
    let mut seen: BTreeSet<&Path<'_>> = BTreeSet::new();
    let mut found = Vec::new();
    for first in next.keys().filter(|module| leads(module, module)) {
        if seen.contains(first) {
            continue;
        }
        let group: Vec<&Path<'_>> = next
            .keys()
            .copied()
            .filter(|other| leads(first, other) && leads(other, first))
            .collect();
        seen.extend(&group);
        let shortest = group
            .iter()
            .filter_map(|module| ways.get(module)?.get(*module))
            .min_by_key(|way| way.len());
        let names: Vec<String> = group.iter().map(|module| module.join("/")).collect();
        let mut text = format!("{} modules in a circle: {}", names.len(), names.join(", "));
        for (from, to) in shortest.into_iter().flat_map(|way| way.iter().zip(way.iter().skip(1))) {
            text.push_str("\n      ");
            text.push_str(&tie(arrows, from, to));
        }
        found.push(text);
    }
    found
}

/// The shortest way from a module to each that can be reached from it, itself included if there is a circle. Both ends are part of a way.
fn ways<'p, 't>(from: &'p Path<'t>, next: &Lists<'p, 't>) -> Lists<'p, 't> {
    let mut ways = Lists::new();
    let mut waiting = VecDeque::from([vec![from]]);
    while let Some(way) = waiting.pop_front() {
        for to in way.last().and_then(|last| next.get(*last)).into_iter().flatten() {
            if !ways.contains_key(to) {
                let way = [way.as_slice(), &[*to]].concat();
                ways.insert(to, way.clone());
                waiting.push_back(way);
            }
        }
    }
    ways
}

/// Arrows to a higher floor.
fn upward(arrows: &Arrows<'_>, floors: &[&[&str]]) -> Vec<String> {
    let floor = |module: &Path<'_>| {
        floors
            .iter()
            .position(|floor| module.first().is_some_and(|name| floor.contains(name)))
    };
    let up = arrows.keys().filter(|(from, to)| match (floor(from), floor(to)) {
        (Some(from), Some(to)) => to < from,
        (None, _) | (_, None) => false,
    });
    up.map(|(from, to)| format!("an arrow points up: {}", tie(arrows, from, to)))
        .collect()
}

/// Modules that stand on no floor, and names on a floor that no module has.
fn unlisted(modules: &Modules<'_>, floors: &[&[&str]]) -> Vec<String> {
    let there: BTreeSet<&str> = modules.topmost().collect();
    let listed: BTreeSet<&str> = floors.iter().copied().flatten().copied().collect();
    let homeless = there
        .difference(&listed)
        .map(|name| format!("the module {name} stands on no floor"));
    let empty = listed
        .difference(&there)
        .map(|name| format!("there is no module {name}, though it has a floor"));
    homeless
        .chain(empty)
        .map(|complaint| format!("{complaint} (FLOORS in xtask/src/tidy/floors.rs)"))
        .collect()
}

/// An arrow with the names that make it, and the file that takes them.
fn tie(arrows: &Arrows<'_>, from: &Path<'_>, to: &Path<'_>) -> String {
    let none = Arrow::default();
    let arrow = arrows.get(&(from.clone(), to.clone())).unwrap_or(&none);
    let names: Vec<&str> = arrow.names.iter().copied().collect();
    let names = if names.is_empty() {
        "the module".to_owned()
    } else {
        names.join(", ")
    };
    format!("{} → {}: {names} ({})", from.join("/"), to.join("/"), arrow.file)
}

#[cfg(test)]
mod tests {
    use super::check_with;
    use crate::tidy::tree::Tree;

    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let found = check_with(&Tree::planted(files), &[("floored", &[&["top"], &["left", "right"], &["ground"]])]);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_circle_is_named_with_what_ties_it() {
        check(
            &[
                ("crates/a/src/lib.rs", "mod x; mod y; mod z; use x::A;"),
                ("crates/a/src/x.rs", "use crate::y::{B, C};"),
                ("crates/a/src/y.rs", "use crate::x::A; use crate::z::D;"),
                ("crates/a/src/z.rs", ""),
                ("xtask/src/main.rs", "mod x; mod y;"),
                ("xtask/src/x.rs", "fn f() { crate::y::g() }"),
                ("xtask/src/y/mod.rs", "mod inner;"),
                ("xtask/src/y/inner.rs", "use super::super::x;"),
            ],
            &["a: 2 modules in a circle: x, y\n      x → y: B, C (crates/a/src/x.rs)\n      y → x: A (crates/a/src/y.rs)"],
        );
    }

    #[test]
    fn a_circle_through_nested_braces_a_re_export_and_super_is_found() {
        check(
            &[
                ("crates/a/src/lib.rs", "mod x; mod y; pub use y::Y;"),
                ("crates/a/src/x.rs", "mod one; mod two; mod three;"),
                ("crates/a/src/x/one.rs", "use {std::fmt, crate::{x::{two::{self, T}}}};"),
                ("crates/a/src/x/two.rs", "use super::three::H;"),
                ("crates/a/src/x/three.rs", "fn f() { crate::Y }"),
                ("crates/a/src/y.rs", "use crate::x::one;"),
            ],
            &["a: 4 modules in a circle: x/one, x/three, x/two, y\n      \
                 x/one → x/two: T (crates/a/src/x/one.rs)\n      \
                 x/two → x/three: H (crates/a/src/x/two.rs)\n      \
                 x/three → y: Y (crates/a/src/x/three.rs)\n      \
                 y → x/one: the module (crates/a/src/y.rs)"],
        );
    }

    #[test]
    fn what_a_module_takes_from_its_own_folder_is_no_circle() {
        check(
            &[
                ("crates/a/src/lib.rs", "mod x; struct Root;"),
                ("crates/a/src/x.rs", "mod inner; pub use inner::B; struct A;"),
                ("crates/a/src/x/inner.rs", "use super::A; use crate::Root;"),
            ],
            &[],
        );
    }

    #[test]
    fn an_arrow_to_a_higher_floor_and_a_module_on_no_floor_are_named() {
        check(
            &[
                ("crates/floored/src/lib.rs", "mod top; mod left; mod right; mod stray;"),
                ("crates/floored/src/top.rs", "use crate::left::A; use crate::stray::B;"),
                ("crates/floored/src/left.rs", "use crate::right::C;"),
                ("crates/floored/src/right/deep.rs", "use crate::top::D;"),
                ("crates/floored/src/right.rs", ""),
                ("crates/floored/src/stray.rs", ""),
            ],
            &[
                "floored: the module stray stands on no floor (FLOORS in xtask/src/tidy/floors.rs)",
                "floored: there is no module ground, though it has a floor (FLOORS in xtask/src/tidy/floors.rs)",
                "floored: an arrow points up: right/deep → top: D (crates/floored/src/right/deep.rs)",
            ],
        );
    }
}
