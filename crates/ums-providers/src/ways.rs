//! The addresses of a name that this machine has a way to.

use std::net::SocketAddr;

use ums_core::has_way;

/// Leaves out the addresses that this machine has no way to, if others are there.
///
/// The errors of several tries come down to one, and that of an IPv6 address on a machine without IPv6 (EADDRNOTAVAIL) is also that of a
/// machine without a free port: it must not stand for a server that refused the connection by IPv4.
pub(crate) fn reachable(addresses: &mut Vec<SocketAddr>) {
    let (v6, v4): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses.iter().partition(|address| address.is_ipv6());
    if !v4.is_empty() && !v6.is_empty() {
        let with_way: Vec<SocketAddr> = addresses.iter().filter(|address| has_way(address)).copied().collect();
        if !with_way.is_empty() {
            *addresses = with_way;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_a_way_are_left_out_if_others_are_there() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        // A link-local address without its interface: no way leads there (ipv6(7)).
        let (here, nowhere) = (at("127.0.0.1:25"), at("[fe80::1]:25"));
        for (given, left) in [
            (vec![nowhere, here], vec![here]),
            (vec![here, nowhere], vec![here]),
            (vec![nowhere], vec![nowhere]),
            (vec![here], vec![here]),
            (vec![], vec![]),
        ] {
            let mut addresses = given.clone();
            reachable(&mut addresses);
            assert_eq!(addresses, left, "{given:?}");
        }
    }
}
