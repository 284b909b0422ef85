//! The settings `labels`, `labels_from.*` and `labels_floor`.

use housecount_access::labels::{LabelKeys, LabelSettings};
use housecount_core::labels::check_key;
use housecount_core::limits::LABEL_KEYS_MAX;
use hyper::header::HeaderName;

use super::layers::LABEL_HEADER_PREFIX;
use super::{ConfigError, Layers};

const NAME: &str = "labels";

/// Reads and checks the keys and their headers.
///
/// # Errors
/// Returns the `ConfigError` of the first wrong setting.
pub(super) fn settings(layers: &Layers) -> Result<LabelSettings, ConfigError> {
    let keys = keys(layers)?;
    let header = |name: &str| {
        let key = name.trim_start_matches(LABEL_HEADER_PREFIX);
        if !keys.iter().any(|known| known == key) {
            let names = keys.iter().collect::<Vec<_>>().join(", ");
            let expected = format!("`{key}` must be one of the keys in `labels` ({names})");
            return Err(layers.invalid(name, &expected));
        }
        if layers.list("proxies")?.is_empty() {
            let expected = "it needs `proxies`: any client can send a header, and a node believes \
                            only a proxy's";
            return Err(layers.invalid(name, expected));
        }
        let text = layers.text(name)?;
        let header = text.parse::<HeaderName>();
        let wrong = |_| layers.invalid(name, "it must be the name of one HTTP header");
        Ok((key.to_string(), header.map_err(wrong)?))
    };
    let names = layers.names_with(LABEL_HEADER_PREFIX);
    // An empty text stands for no header, as elsewhere.
    let is_given = |name: &&str| layers.text(name).is_ok_and(|text| !text.is_empty());
    let headers = names.filter(is_given).map(header).collect::<Result<_, ConfigError>>()?;
    Ok(LabelSettings { keys, headers })
}

/// Reads and checks the keys.
///
/// # Errors
/// Returns a `ConfigError` that names the wrong key.
pub(super) fn keys(layers: &Layers) -> Result<LabelKeys, ConfigError> {
    let names = layers.list(NAME)?;
    for (n, name) in names.iter().enumerate() {
        check_key(name).map_err(|e| layers.invalid(NAME, &format!("`{name}`: {e}")))?;
        if names[..n].contains(name) {
            return Err(layers.invalid(NAME, &format!("`{name}` is in it twice")));
        }
    }
    let expected = format!("it must have at most {LABEL_KEYS_MAX} keys");
    LabelKeys::new(names).map_err(|_| layers.invalid(NAME, &expected))
}

/// Reads the number of viewers below which a limited key sees no count of a value.
///
/// # Errors
/// Returns a `ConfigError` unless it is a number above 0.
pub(super) fn floor(layers: &Layers) -> Result<u64, ConfigError> {
    match layers.number("labels_floor")? {
        0 => Err(layers.invalid("labels_floor", "it must be at least 1, which hides no count")),
        number => Ok(number as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::super::{Layers, NodeSettings};

    const KEYS: (&str, &str) = ("labels", "device,country");
    const PROXIES: (&str, &str) = ("proxies", "10.0.0.0/8");

    #[test]
    fn keys_are_sorted_and_shared() {
        let server = settings(&[]).unwrap().server;
        assert!(server.admission.labels.keys.is_empty());
        assert_eq!(server.labels_floor, 1);
        let header = ("labels_from.country", "CloudFront-Viewer-Country");
        let server = settings(&[KEYS, PROXIES, header, ("labels_floor", "5")]).unwrap().server;
        let labels = server.admission.labels;
        assert_eq!(labels.keys.iter().collect::<Vec<_>>(), ["country", "device"]);
        assert_eq!(server.auth.rules.label_keys, labels.keys);
        let header = "cloudfront-viewer-country".parse().unwrap();
        assert_eq!(labels.headers, [("country".to_string(), header)]);
        assert_eq!(server.labels_floor, 5);
    }

    #[test]
    fn headers_come_from_a_file_and_the_environment_as_well() {
        let file = "proxies = [\"::1\"]\nlabels = [\"country\", \"device_type\"]\n\
                    labels_from.country = \"x-country\"\n";
        let of = |variable: &str| {
            let file = Some(("my.toml".to_string(), file.to_string()));
            let variable = (variable.to_string(), "x-device".to_string());
            let settings =
                NodeSettings::from_layers(&Layers::of(file, vec![variable], Vec::new())?);
            settings.map(|settings| settings.server.admission.labels.headers)
        };
        let headers = of("HOUSECOUNT_LABELS_FROM_DEVICE_TYPE").unwrap();
        let named = |key: &str, name: &str| (key.to_string(), name.parse().unwrap());
        assert_eq!(headers, [named("country", "x-country"), named("device_type", "x-device")]);
        let error = of("HOUSECOUNT_LABELS_FROM_PLAN").unwrap_err().0;
        assert!(
            error.starts_with("`labels_from.plan` = \"x-device\" (from HOUSECOUNT_"),
            "{error}"
        );
    }

    #[test]
    fn what_is_wrong_is_one_line_that_names_it() {
        let country = ("labels_from.country", "x-country");
        for (flags, named) in [
            // LABEL_KEY_BYTES_MAX
            (vec![("labels", "country,Device")], "`Device`: a label's key has 1 to 32 bytes of"),
            (vec![("labels", "country,country")], "`country` is in it twice"),
            // LABEL_KEYS_MAX
            (vec![("labels", "a,b,c,d,e")], "it must have at most 4 keys"),
            (
                vec![KEYS, PROXIES, ("labels_from.plan", "x-plan")],
                "`labels_from.plan` = \"x-plan\" (from --set): `plan` must be one of the keys in \
                 `labels` (country, device)",
            ),
            (vec![country], "`country` must be one of the keys in `labels` ()"),
            (vec![KEYS, country], "(from --set): it needs `proxies`"),
            (
                vec![KEYS, PROXIES, ("labels_from.country", "x country")],
                "it must be the name of one HTTP header",
            ),
            (vec![("labels_floor", "0")], "it must be at least 1"),
        ] {
            let error = settings(&flags).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains('\n'), "{flags:?}: {error}");
        }
    }
}
