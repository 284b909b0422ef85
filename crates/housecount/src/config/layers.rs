//! Settings as text by layer, and functions that parse them.

use std::collections::BTreeMap;
use std::path::Path;

use housecount_server::nearest::nearest;

use super::ConfigError;

/// The defaults with their documentation, as `housecount settings` prints them.
pub const DEFAULT_TOML: &str = include_str!("default.toml");
/// Prefix of a setting's name in the environment.
const ENVIRONMENT_PREFIX: &str = "HOUSECOUNT_";
/// Prefix of the settings that name the header of a label. Their other half is an operator's
/// choice.
pub(super) const LABEL_HEADER_PREFIX: &str = "labels_from.";
/// Settings whose value may contain a password, so that no message repeats it.
const SECRET: [&str; 7] = [
    "log",
    "cold",
    "otlp",
    "viewer_ids_key",
    "webhooks",
    "auth.viewer_keys",
    "auth.viewer_jwks_url",
];

/// A flag as the user gave it, the setting that it sets, and its value.
pub type FlagValue = (String, String, String);

/// A value and its source.
#[derive(Clone, Debug)]
struct SourcedValue {
    value: String,
    source: String,
}

/// All settings as text, each from its highest layer.
#[derive(Clone, Debug)]
pub struct Layers {
    given: BTreeMap<String, SourcedValue>,
}

impl Layers {
    /// Returns the layers of this process: `flags` (flag, setting, value) over the environment over
    /// `file` over the defaults.
    ///
    /// # Errors
    /// Returns a `ConfigError` if a file can't be read, or for an unknown setting.
    #[allow(clippy::disallowed_methods)] // the one place that reads the environment
    pub fn of_process(file: Option<&Path>, flags: Vec<FlagValue>) -> Result<Layers, ConfigError> {
        let mut environment = Vec::new();
        for (name, value) in std::env::vars_os() {
            // A name that is not UTF-8 is not a housecount variable.
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENVIRONMENT_PREFIX))
            else {
                continue;
            };
            let value =
                value.into_string().map_err(|_| ConfigError(format!("{name} is not UTF-8")))?;
            environment.push((name.to_string(), value));
        }
        let from_environment = environment.iter().find(|(name, _)| name == "HOUSECOUNT_CONFIG");
        let file = file.or_else(|| from_environment.map(|(_, path)| Path::new(path)));
        let text = match file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| ConfigError(format!("--config {}: {e}", path.display())))?;
                Some((path.display().to_string(), text))
            }
        };
        let environment =
            environment.iter().filter(|(name, _)| name != "HOUSECOUNT_CONFIG").cloned();
        Layers::of(text, environment.collect(), flags)
    }

    /// Returns the layers: `flags` over `environment` over `file` (its name and text) over the
    /// defaults.
    ///
    /// # Errors
    /// Returns a `ConfigError` for a file that is not TOML, or for an unknown setting.
    pub fn of(
        file: Option<(String, String)>,
        environment: Vec<(String, String)>,
        flags: Vec<FlagValue>,
    ) -> Result<Layers, ConfigError> {
        let mut layers = Layers { given: BTreeMap::new() };
        let defaults = parse("default.toml", DEFAULT_TOML)?;
        layers.given = defaults
            .into_iter()
            .map(|(k, value)| (k, SourcedValue { value, source: "the default".into() }))
            .collect();
        if let Some((name, text)) = file {
            for (key, value) in parse(&name, &text)? {
                layers.set(&key, value, &name)?;
            }
        }
        for (name, value) in environment {
            let key = layers.key_of_variable(&name);
            layers.set(&key, value, &name)?;
        }
        for (flag, key, value) in flags {
            layers.set(&key, value, &flag)?;
        }
        Ok(layers)
    }

    /// Maps a variable to its setting: `HOUSECOUNT_STAGES_AUTO` is `stages.auto`.
    fn key_of_variable(&self, variable: &str) -> String {
        let name = variable.trim_start_matches(ENVIRONMENT_PREFIX).to_lowercase();
        let known = self.given.keys().find(|key| key.replace('.', "_") == name);
        let of_label = || {
            let key = name.strip_prefix(&LABEL_HEADER_PREFIX.replace('.', "_"))?;
            Some(format!("{LABEL_HEADER_PREFIX}{key}"))
        };
        known.cloned().or_else(of_label).unwrap_or(name)
    }

    fn set(&mut self, key: &str, value: String, source: &str) -> Result<(), ConfigError> {
        if !self.given.contains_key(key) && !key.starts_with(LABEL_HEADER_PREFIX) {
            let hint = match nearest(self.given.keys().map(String::as_str), key) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    format!(
                        "the settings are {}",
                        self.given.keys().cloned().collect::<Vec<_>>().join(", ")
                    )
                }
            };
            return Err(ConfigError(format!("`{key}` (from {source}) is not a setting: {hint}")));
        }
        self.given.insert(key.to_string(), SourcedValue { value, source: source.to_string() });
        Ok(())
    }

    fn given(&self, key: &str) -> Result<&SourcedValue, ConfigError> {
        self.given.get(key).ok_or_else(|| ConfigError(format!("`{key}` has no default")))
    }

    /// Names of all settings that begin with a prefix.
    pub(super) fn names_with(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.given.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }

    /// Returns the error for a setting whose value is wrong.
    #[must_use]
    pub fn invalid(&self, key: &str, why: &str) -> ConfigError {
        match self.given.get(key) {
            // A value with an @ may be an address with a password.
            Some(SourcedValue { value, source })
                if SECRET.contains(&key) || value.contains('@') =>
            {
                ConfigError(format!("`{key}` (from {source}): {why}"))
            }
            Some(SourcedValue { value, source }) => {
                ConfigError(format!("`{key}` = \"{value}\" (from {source}): {why}"))
            }
            None => ConfigError(format!("`{key}`: {why}")),
        }
    }

    /// Text of a setting.
    pub fn text(&self, key: &str) -> Result<String, ConfigError> {
        Ok(self.given(key)?.value.clone())
    }

    /// Parses a duration, in milliseconds.
    pub fn duration_ms(&self, key: &str) -> Result<u64, ConfigError> {
        let text = &self.given(key)?.value;
        if text.parse::<f64>().is_ok() {
            return Err(self.invalid(key, &format!("a duration needs a unit, such as {text}s")));
        }
        let duration = humantime::parse_duration(text).map_err(|_| {
            self.invalid(key, "not a duration; use a unit, such as 10ms, 30s, 5m, 1h or 30d")
        })?;
        // Ten years is more than any setting needs, and keeps every sum far from overflow.
        let ms = u64::try_from(duration.as_millis()).ok().filter(|ms| *ms <= 3_660 * 86_400_000);
        ms.ok_or_else(|| self.invalid(key, "it must be at most ten years"))
    }

    /// Parses a whole number.
    pub fn number(&self, key: &str) -> Result<usize, ConfigError> {
        self.given(key)?
            .value
            .parse()
            .map_err(|_| self.invalid(key, "not a whole number, 0 or more"))
    }

    /// Splits a list of texts, which have commas between them outside files.
    pub fn list(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        let texts = self.given(key)?.value.split(',').map(str::trim);
        Ok(texts.filter(|text| !text.is_empty()).map(str::to_string).collect())
    }

    /// Parses `true` or `false`.
    pub fn boolean(&self, key: &str) -> Result<bool, ConfigError> {
        self.given(key)?.value.parse().map_err(|_| self.invalid(key, "it must be true or false"))
    }

    /// Parses one of a few words.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let text = &self.given(key)?.value;
        let chosen = choices.iter().find(|(name, _)| name == text);
        let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        chosen
            .map(|(_, value)| *value)
            .ok_or_else(|| self.invalid(key, &format!("it must be one of {}", names())))
    }
}

/// Parses a TOML file's settings as text with flat names: `[stages] auto` is `stages.auto`.
fn parse(name: &str, text: &str) -> Result<BTreeMap<String, String>, ConfigError> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        let line =
            e.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        ConfigError(format!("{name}, line {line}: {}", e.message().replace('\n', " ")))
    })?;
    let mut flat = BTreeMap::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                for (sub, value) in inner {
                    flat.insert(format!("{key}.{sub}"), plain(name, &key, value)?);
                }
            }
            value => {
                let text = plain(name, &key, value)?;
                flat.insert(key, text);
            }
        }
    }
    Ok(flat)
}

fn plain(name: &str, key: &str, value: toml::Value) -> Result<String, ConfigError> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(switch) => Ok(switch.to_string()),
        // A list of tables stays a list in TOML, which its own parser reads.
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            Ok(toml::Value::Array(list).to_string())
        }
        toml::Value::Array(list) => {
            let texts = list.into_iter().map(|value| match value {
                toml::Value::String(text) => Ok(text),
                toml::Value::Integer(number) => Ok(number.to_string()),
                _ => Err(ConfigError(format!(
                    "`{key}` (from {name}): a list must contain strings or numbers only"
                ))),
            });
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        _ => {
            Err(ConfigError(format!("`{key}` (from {name}): a setting can't be a date or a table")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_string(), value.to_string())
    }

    #[test]
    fn flag_over_environment_over_file_over_default() {
        let file =
            || Some(pair("my.toml", "ttl = \"4m\"\nlinger = \"5ms\"\n[stages]\nauto = false\n"));
        let environment =
            || vec![pair("HOUSECOUNT_TTL", "5m"), pair("HOUSECOUNT_STAGES_AUTO", "true")];
        let layers =
            Layers::of(file(), environment(), vec![("--set".into(), "ttl".into(), "6m".into())])
                .unwrap();
        assert_eq!(layers.duration_ms("ttl"), Ok(360_000));
        assert_eq!(layers.duration_ms("linger"), Ok(5));
        assert_eq!(layers.duration_ms("interval"), Ok(30_000));
        assert_eq!(layers.boolean("stages.auto"), Ok(true));
        let layers = Layers::of(file(), environment(), Vec::new()).unwrap();
        assert_eq!(layers.duration_ms("ttl"), Ok(300_000));
        let layers = Layers::of(file(), Vec::new(), Vec::new()).unwrap();
        assert_eq!(layers.boolean("stages.auto"), Ok(false));
    }

    #[test]
    fn every_source_is_named_when_it_is_wrong() {
        let error =
            Layers::of(None, vec![pair("HOUSECOUNT_COLOUR", "red")], Vec::new()).unwrap_err();
        assert!(
            error.0.starts_with("`colour` (from HOUSECOUNT_COLOUR) is not a setting"),
            "{error}"
        );
        let error =
            Layers::of(Some(pair("my.toml", "a = \n")), Vec::new(), Vec::new()).unwrap_err();
        assert!(error.0.starts_with("my.toml, line 1: "), "{error}");
        let error =
            Layers::of(Some(pair("my.toml", "ttl = [1.5]\n")), Vec::new(), Vec::new()).unwrap_err();
        assert!(error.0.contains("`ttl` (from my.toml)"), "{error}");
    }
}
