//! Settings of connections: how many a node holds, and how many of an address.

use std::num::NonZeroUsize;

use housecount_access::admission::connections::ConnectionLimit;
use housecount_core::limits::{CONNECTION_BYTES, CONNECTIONS_MAX, CONNECTIONS_MAX_DEFAULT};

use super::machine::memory_bytes;
use super::{ConfigError, Layers};

/// Fewest connections that a node holds by default, however small its machine is.
const BY_MEMORY_MIN: usize = 1_000;

/// Reads `connections_max`.
pub(super) fn of_node(layers: &Layers) -> Result<usize, ConfigError> {
    match layers.number("connections_max")? {
        0 => Ok(by_memory(memory_bytes())),
        max if max > CONNECTIONS_MAX => {
            let expected = format!("it must be at most {CONNECTIONS_MAX}; 0 means by memory");
            Err(layers.invalid("connections_max", &expected))
        }
        max => Ok(max),
    }
}

/// Returns how many connections a machine with this memory holds. Half of the memory is for other
/// things, such as the seats of the audience.
fn by_memory(bytes: Option<u64>) -> usize {
    let fits = |bytes: u64| usize::try_from(bytes / CONNECTION_BYTES).unwrap_or(CONNECTIONS_MAX);
    bytes.map_or(CONNECTIONS_MAX_DEFAULT, fits).clamp(BY_MEMORY_MIN, CONNECTIONS_MAX)
}

/// Reads `limits.address_connections`. By default, no single address can fill a node.
pub(super) fn of_address(layers: &Layers) -> Result<Option<ConnectionLimit>, ConfigError> {
    let name = "limits.address_connections";
    let of_node = of_node(layers)?;
    let is_default = layers.text(name)?.is_empty();
    let max = if is_default { (of_node / 2).max(1) } else { layers.number(name)? };
    if max > CONNECTIONS_MAX {
        let expected = format!("it must be at most {CONNECTIONS_MAX}; 0 means no limit");
        return Err(layers.invalid(name, &expected));
    }
    Ok(NonZeroUsize::new(max).map(|max| ConnectionLimit { max, is_for_loopback: !is_default }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;

    #[test]
    fn connection_bytes_decide_how_many_a_machine_holds() {
        let gib = |count: u64| Some(count << 30);
        let held = [gib(8), gib(1), Some(1), gib(1 << 20), None].map(by_memory);
        assert_eq!(
            held,
            [349_525, 43_690, BY_MEMORY_MIN, CONNECTIONS_MAX, CONNECTIONS_MAX_DEFAULT]
        );
        let max = settings(&[]).unwrap().server.connections_max;
        assert!((BY_MEMORY_MIN..=CONNECTIONS_MAX).contains(&max), "{max}");
    }

    #[test]
    fn connections_max_is_set_and_an_address_has_half_of_it() {
        let set = |node: &str, address: Option<&str>| {
            let flags = [("connections_max", node)].into_iter();
            let address = address.map(|max| ("limits.address_connections", max));
            let flags: Vec<_> = flags.chain(address).collect();
            settings(&flags).map(|settings| {
                let server = settings.server;
                let address = server.admission.address_connections;
                let address = address.map(|limit| (limit.max.get(), limit.is_for_loopback));
                (server.connections_max, address)
            })
        };
        assert_eq!(set("10", None), Ok((10, Some((5, false)))));
        assert_eq!(set("1", None), Ok((1, Some((1, false)))));
        assert_eq!(set("10", Some("10")), Ok((10, Some((10, true)))));
        assert_eq!(set("10", Some("0")), Ok((10, None)));
        assert_eq!(set(&CONNECTIONS_MAX.to_string(), Some("7")).unwrap().0, CONNECTIONS_MAX);
        for (node, address, named) in [
            ("10", Some("1000001"), "at most 1000000; 0 means no limit"),
            ("1000001", None, "at most 1000000; 0 means by memory"),
            ("-1", None, "connections_max"),
            ("many", None, "connections_max"),
            ("10", Some("-1"), "limits.address_connections"),
        ] {
            let error = set(node, address).unwrap_err().to_string();
            assert!(error.contains(named), "{node} {address:?}: {error}");
        }
    }
}
