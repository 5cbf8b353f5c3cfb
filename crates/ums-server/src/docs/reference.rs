//! `/docs`: the OpenAPI document as a page.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::markdown::inline;
use super::page::{Page, escape};

/// The methods of a path, in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The fields of each object in their order.
type Order = BTreeMap<String, Vec<String>>;

/// One call.
struct Operation<'a> {
    method: &'static str,
    path: &'a str,
    is_open: bool,
    about: &'a Value,
}

/// Renders the page.
pub(super) fn render(document: &Value, version: &str) -> Bytes {
    let (operations, order) = (operations(document), crate::openapi::field_order());
    let (mut side, mut body) = (String::new(), String::new());
    body.extend([format!(
        "<h1>Reference</h1><p class=lead>{}</p>",
        inline(text(&document["info"], "description"))
    )]);
    for tag in list(&document["tags"]) {
        let name = text(tag, "name");
        let of_tag = || {
            operations
                .iter()
                .filter(|operation| list(&operation.about["tags"]).iter().any(|of| of == name))
        };
        side.extend([format!("<h2>{}</h2><ul>", escape(name))]);
        side.extend(of_tag().map(side_entry));
        side.push_str("</ul>");
        body.extend([format!(
            "<h2 class=tag>{}</h2><p>{}</p>",
            escape(name),
            inline(text(tag, "description"))
        )]);
        body.extend(of_tag().map(|operation| section(operation, document, &order)));
    }
    side.push_str("<h2>Objects</h2><ul>");
    body.push_str("<h2 class=tag>Objects</h2>");
    for (name, schema) in object(&document["components"]["schemas"]) {
        side.extend([format!("<li><a href=#{name}>{name}</a></li>")]);
        let about = inline(text(schema, "description"));
        body.extend([format!(
            "<section id={name}><h3>{name}</h3><p>{about}</p>{}</section>",
            fields(schema, order.get(name))
        )]);
    }
    side.push_str("</ul>");
    Page {
        title: "Reference",
        version,
        here: "/docs",
        side: &side,
        body: &body,
    }
    .render()
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for (path, item) in object(&document["paths"]) {
        for method in METHODS {
            if let Some(about) = item.get(method) {
                operations.push(Operation {
                    method,
                    path,
                    is_open: list(&about["security"]).is_empty(),
                    about,
                });
            }
        }
    }
    operations
}

fn side_entry(operation: &Operation<'_>) -> String {
    let (id, method) = (text(operation.about, "operationId"), operation.method);
    format!(
        "<li><a href=#{id}><span class=\"method {method}\">{method}</span> {}</a></li>",
        escape(operation.path)
    )
}

fn section(operation: &Operation<'_>, document: &Value, order: &Order) -> String {
    let Operation {
        method,
        path,
        is_open,
        about,
    } = operation;
    let mut html = format!(
        "<section id={}><h3><span class=\"method {method}\">{method}</span> <code>{}</code></h3><p><strong>{}.</strong> {}</p>",
        text(about, "operationId"),
        escape(path),
        escape(text(about, "summary")),
        inline(text(about, "description")),
    );
    if !is_open {
        html.push_str("<p class=note>Needs the API key: <code>Authorization: Bearer &lt;key&gt;</code></p>");
    }
    html.push_str(&parameters(list(&about["parameters"])));
    let media = &about["requestBody"]["content"]["application/json"];
    if !media.is_null() {
        let name = reference(&media["schema"]).unwrap_or_default();
        let schema = &document["components"]["schemas"][name];
        html.extend([format!(
            "<h4>Body</h4><p>{}</p>{}",
            inline(text(&about["requestBody"], "description")),
            fields(schema, order.get(name))
        )]);
        html.extend([format!("<pre><code>{}</code></pre>", escape(&sample(operation, &media["example"])))]);
    }
    html.push_str("<h4>Answers</h4>");
    html.extend(object(&about["responses"]).map(|(status, response)| answer(status, response)));
    html.push_str("</section>");
    html
}

/// A call as it is typed.
fn sample(operation: &Operation<'_>, example: &Value) -> String {
    let key = if operation.is_open {
        ""
    } else {
        "  -H \"Authorization: Bearer $UMS_API_KEY\" \\\n"
    };
    let json = serde_json::to_string_pretty(example).unwrap_or_default();
    let method = match operation.method {
        "post" => String::new(),
        other => format!("-X {} ", other.to_ascii_uppercase()),
    };
    format!(
        "curl {method}http://localhost:8080{} \\\n{key}  -H 'Content-Type: application/json' \\\n  -d '{json}'",
        operation.path
    )
}

fn answer(status: &str, response: &Value) -> String {
    let class = status.chars().next().unwrap_or('0');
    let summary = format!(
        "<span class=\"status s{class}\">{}</span> {}",
        escape(status),
        inline(text(response, "description"))
    );
    let example = object(&response["content"]).find_map(|(_, media)| media.get("example"));
    match example {
        None => format!("<p class=answer>{summary}</p>"),
        Some(example) => {
            let pretty = || serde_json::to_string_pretty(example).unwrap_or_default();
            let shown = example.as_str().map_or_else(pretty, str::to_owned);
            let open = if status == "200" { " open" } else { "" };
            format!(
                "<details{open}><summary>{summary}</summary><pre><code>{}</code></pre></details>",
                escape(&shown)
            )
        }
    }
}

fn parameters(parameters: &[Value]) -> String {
    if parameters.is_empty() {
        return String::new();
    }
    let row = |parameter: &Value| {
        let place = text(parameter, "in");
        let kind = format!("{place}, {}", kind(&parameter["schema"]));
        field_row(
            text(parameter, "name"),
            &kind,
            parameter["required"] == true,
            text(parameter, "description"),
        )
    };
    table(&parameters.iter().map(row).collect::<String>(), "Parameters")
}

/// The fields of an object, in their order.
fn fields(schema: &Value, order: Option<&Vec<String>>) -> String {
    let required = list(&schema["required"]);
    let row = |name: &String| {
        let field = &schema["properties"][name];
        field_row(name, &kind(field), required.iter().any(|of| of == name), text(field, "description"))
    };
    let rows: String = order.into_iter().flatten().map(row).collect();
    if rows.is_empty() { String::new() } else { table(&rows, "") }
}

fn table(rows: &str, heading: &str) -> String {
    let heading = if heading.is_empty() {
        String::new()
    } else {
        format!("<h4>{heading}</h4>")
    };
    format!("{heading}<div class=scroll><table class=fields><tbody>{rows}</tbody></table></div>")
}

fn field_row(name: &str, kind: &str, is_required: bool, about: &str) -> String {
    let required = if is_required { " <em>required</em>" } else { "" };
    format!(
        "<tr><td><code>{}</code>{required}<div class=kind>{kind}</div></td><td>{}</td></tr>",
        escape(name),
        inline(about)
    )
}

/// What a field holds, in words; objects are linked.
fn kind(schema: &Value) -> String {
    if let Some(name) = reference(schema) {
        return format!("<a href=#{name}>{name}</a>");
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let types = schema["type"]
        .as_array()
        .map(|types| types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "));
    let mut words = types.unwrap_or_else(|| schema["type"].as_str().unwrap_or("any").to_owned());
    if schema["type"] == "array" {
        words = format!("array of {}", kind(&schema["items"]));
    }
    if let Some(choices) = schema["enum"].as_array() {
        let choices: Vec<_> = choices
            .iter()
            .filter_map(Value::as_str)
            .map(|choice| format!("<code>{}</code>", escape(choice)))
            .collect();
        words = format!("{words}: {}", choices.join(" "));
    }
    match schema["format"].as_str() {
        Some(format) => format!("{words} ({})", escape(format)),
        None => words,
    }
}

fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}
