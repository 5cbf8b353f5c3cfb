//! Which addresses belong to the open internet.
//!
//! The tables are IANA's special-purpose address registries (IPv4 and IPv6, read November 2026): what is not globally reachable, and
//! what only wraps another address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 networks that are not of the open internet: first address and length of the prefix.
const CLOSED_V4: &[(Ipv4Addr, u8)] = &[
    // This host, this network.
    (Ipv4Addr::UNSPECIFIED, 8),
    // Private.
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Shared by a carrier's customers.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback.
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local; metadata of cloud instances.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Private.
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    // Protocol assignments.
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation.
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // Relays of 6to4.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    // Private.
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Benchmarks.
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    // Documentation.
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved, broadcast.
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The part of IPv6 that is given out.
const OPEN_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Networks in it that are not of the open internet.
const CLOSED_V6: &[(Ipv6Addr, u8)] = &[
    // Protocol assignments: Teredo, benchmarks, ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation.
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4: wraps any IPv4 address, and is not in use any more.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    // Documentation.
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// IPv4 behind a translator, where a network has IPv6 only.
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// The open internet, and what else may be contacted.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks {
    allowed: Vec<(IpAddr, u8)>,
}

impl Networks {
    pub(super) fn new(allowed: Vec<(IpAddr, u8)>) -> Self {
        Self { allowed }
    }

    /// Whether an address may be contacted. One that wraps another is judged by that.
    pub(super) fn may_contact(&self, address: IpAddr) -> bool {
        let address = unwrapped(address);
        let is_open = match address {
            IpAddr::V4(v4) => !CLOSED_V4.iter().any(|(first, length)| holds_v4(*first, *length, v4)),
            IpAddr::V6(v6) => holds_v6(OPEN_V6.0, OPEN_V6.1, v6) && !CLOSED_V6.iter().any(|(first, length)| holds_v6(*first, *length, v6)),
        };
        is_open || self.allowed.iter().any(|network| holds(*network, address))
    }
}

/// The IPv4 address that an IPv6 address stands for to this machine or its network's translator.
fn unwrapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None if holds_v6(NAT64.0, NAT64.1, v6) => {
                let [.., a, b, c, d] = v6.octets();
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            None => address,
        },
    }
}

fn holds((first, length): (IpAddr, u8), address: IpAddr) -> bool {
    match (first, address) {
        (IpAddr::V4(first), IpAddr::V4(address)) => holds_v4(first, length, address),
        (IpAddr::V6(first), IpAddr::V6(address)) => holds_v6(first, length, address),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn holds_v4(first: Ipv4Addr, length: u8, address: Ipv4Addr) -> bool {
    let host_bits = 32_u32.saturating_sub(length.into());
    (first.to_bits() ^ address.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
}

fn holds_v6(first: Ipv6Addr, length: u8, address: Ipv6Addr) -> bool {
    let host_bits = 128_u32.saturating_sub(length.into());
    (first.to_bits() ^ address.to_bits()).checked_shr(host_bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_contact(address: &str) -> bool {
        Networks::default().may_contact(address.parse().unwrap())
    }

    #[test]
    fn nothing_but_the_open_internet_is_contacted() {
        for closed in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(!may_contact(closed), "{closed}");
        }
        for open in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2a00:1450:4001::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(may_contact(open), "{open}");
        }
    }

    #[test]
    fn what_is_allowed_is_allowed_and_no_more() {
        let networks = Networks::new(vec![
            ("10.1.0.0".parse().unwrap(), 16),
            ("::1".parse().unwrap(), 128),
            ("0.0.0.0".parse().unwrap(), 32),
        ]);
        for (address, may) in [
            ("10.1.255.1", true),
            ("::ffff:10.1.0.1", true),
            ("10.2.0.1", false),
            ("::1", true),
            ("::2", false),
            ("127.0.0.1", false),
            ("0.0.0.1", false),
        ] {
            assert_eq!(networks.may_contact(address.parse().unwrap()), may, "{address}");
        }
        let all = Networks::new(vec![("0.0.0.0".parse().unwrap(), 0)]);
        assert!(all.may_contact("127.0.0.1".parse().unwrap()) && !all.may_contact("::1".parse().unwrap()));
    }
}
