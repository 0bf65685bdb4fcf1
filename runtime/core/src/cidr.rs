//! Whether an address lies in a network.

use std::net::IpAddr;

use pilotlight_config::manifest::Cidr;

/// Networks, ready to compare. An IPv4 address that came through an IPv6 socket
/// (`::ffff:10.0.0.1`) is an IPv4 address here.
#[derive(Debug, Clone, Default)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// The bits of an address past a network's prefix do not count.
    pub fn new(list: &[Cidr]) -> Networks {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for cidr in list {
            match (cidr.address, cidr.prefix) {
                (IpAddr::V4(address), prefix) => v4.push(network4(address.to_bits(), prefix)),
                (IpAddr::V6(address), prefix) => match address.to_ipv4_mapped() {
                    Some(address) if prefix >= 96 => {
                        v4.push(network4(address.to_bits(), prefix - 96));
                    }
                    _ => {
                        let shift = 128 - u32::from(prefix.min(128));
                        let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                        v6.push((address.to_bits() & mask, mask));
                    }
                },
            }
        }
        Networks { v4: v4.into(), v6: v6.into() }
    }

    /// Whether one of them holds the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                self.v4.iter().any(|(network, mask)| address.to_bits() & mask == *network)
            }
            IpAddr::V6(address) => {
                self.v6.iter().any(|(network, mask)| address.to_bits() & mask == *network)
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Whether one network holds the address.
pub fn contains(cidr: &Cidr, address: IpAddr) -> bool {
    Networks::new(std::slice::from_ref(cidr)).contains(address)
}

fn network4(address: u32, prefix: u8) -> (u32, u32) {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    (address & mask, mask)
}

#[cfg(test)]
mod tests;
