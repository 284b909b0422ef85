//! The settings `events`, `events_*` and `webhooks`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use housecount_core::limits::{EVENT_DROP_MS_MAX, EVENT_THRESHOLDS_MAX, WEBHOOKS_MAX};
use housecount_events::settings::{EventRules, EventSettings};
use housecount_events::webhooks::target::{Webhook, WebhookSpec};
use toml::{Table, Value};

use super::{ConfigError, Layers};

const WEBHOOKS: &str = "webhooks";
/// Keys of a webhook.
const KEYS: [&str; 6] = ["url", "secret", "events", "stages", "name", "private"];

/// Reads and checks the settings. Returns `None` if events are off.
///
/// # Errors
/// Returns the `ConfigError` of the first wrong setting.
pub(super) fn settings(layers: &Layers) -> Result<Option<EventSettings>, ConfigError> {
    let (rules, webhooks) = (rules(layers)?, webhooks(layers)?);
    let is_on = layers.boolean("events")? || !webhooks.is_empty();
    Ok(is_on.then_some(EventSettings { rules, webhooks }))
}

fn rules(layers: &Layers) -> Result<EventRules, ConfigError> {
    let name = "events_thresholds";
    let thresholds: Result<BTreeSet<u64>, ConfigError> = layers
        .list(name)?
        .iter()
        .map(|text| {
            let number = text.parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| layers.invalid(name, &format!("`{text}` is not a number above 0")))
        })
        .collect();
    let thresholds = thresholds?;
    if thresholds.len() > EVENT_THRESHOLDS_MAX {
        return Err(layers.invalid(name, &format!("it must be at most {EVENT_THRESHOLDS_MAX}")));
    }
    let percent = |name: &str, max: usize| match layers.number(name)? {
        number if number <= max => Ok(number as u64),
        _ => Err(layers.invalid(name, &format!("it must be at most {max} percent"))),
    };
    let drop_within_ms = layers.duration_ms("events_drop_within")?;
    if !(1_000..=EVENT_DROP_MS_MAX).contains(&drop_within_ms) {
        return Err(layers.invalid("events_drop_within", "it must be from 1s to 10m"));
    }
    Ok(EventRules {
        thresholds: thresholds.into_iter().collect(),
        hysteresis_percent: percent("events_hysteresis", 99)?,
        drop_percent: percent("events_drop", 100)?,
        drop_within_ms,
        drop_viewers_min: layers.number("events_drop_viewers")? as u64,
    })
}

fn webhooks(layers: &Layers) -> Result<Vec<Arc<Webhook>>, ConfigError> {
    let text = layers.text(WEBHOOKS)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let invalid = |why: &str| layers.invalid(WEBHOOKS, why);
    // The text of an error may repeat a secret, so it is not shown.
    let table: Table = format!("{WEBHOOKS} = {text}").parse().map_err(|_| {
        invalid("not a list of tables in TOML, such as [{ url = \"...\", secret = \"...\" }]")
    })?;
    let list = table.get(WEBHOOKS).and_then(Value::as_array).cloned().unwrap_or_default();
    if list.len() > WEBHOOKS_MAX {
        return Err(invalid(&format!("it must be at most {WEBHOOKS_MAX}")));
    }
    let mut webhooks: Vec<Arc<Webhook>> = Vec::new();
    for (number, value) in (1..).zip(list) {
        let invalid = |why: String| invalid(&format!("webhook {number}: {why}"));
        let table = value.as_table().ok_or_else(|| invalid("it must be a table".to_string()))?;
        let webhook = spec(table).and_then(|spec| Webhook::new(&spec)).map_err(invalid)?;
        if webhooks.iter().any(|known| known.name == webhook.name) {
            let name = &webhook.name;
            return Err(invalid(format!("another one is named {name}; set `name` of both")));
        }
        webhooks.push(Arc::new(webhook));
    }
    Ok(webhooks)
}

fn spec(table: &Table) -> Result<WebhookSpec, String> {
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("`{key}` is not a key; the keys are {}", KEYS.join(", ")));
    }
    let text = |key: &str| match table.get(key) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{key}` must be a string")),
    };
    let texts = |key: &str| match table.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            let texts = list.iter().map(|value| value.as_str().map(str::to_string));
            let texts: Option<Vec<String>> = texts.collect();
            texts.ok_or_else(|| format!("`{key}` must be a list of strings"))
        }
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(_) => Err(format!("`{key}` must be a list of strings")),
    };
    let is_private = match table.get("private") {
        None => false,
        Some(Value::Boolean(is_private)) => *is_private,
        Some(_) => return Err("`private` must be true or false".to_string()),
    };
    let secrets =
        texts("secret")?.iter().map(|given| secrets(given)).collect::<Result<Vec<_>, _>>()?;
    Ok(WebhookSpec {
        name: text("name")?,
        url: text("url")?,
        secrets: secrets.concat(),
        events: texts("events")?,
        stages: texts("stages")?,
        is_private,
    })
}

/// Returns a secret, or those of the file that it names, one on a line.
fn secrets(given: &str) -> Result<Vec<String>, String> {
    if given.starts_with("whsec_") {
        return Ok(vec![given.to_string()]);
    }
    // The text may be a secret without its prefix, so no message repeats it.
    let text = std::fs::read_to_string(Path::new(given)).map_err(|e| {
        format!("`secret` is neither a secret (whsec_...) nor a readable file ({})", e.kind())
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::super::{Layers, NodeSettings};
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn of_file(text: &str) -> Result<NodeSettings, ConfigError> {
        let file = Some(("my.toml".to_string(), text.to_string()));
        NodeSettings::from_layers(&Layers::of(file, Vec::new(), Vec::new())?)
    }

    #[test]
    fn events_are_off_unless_they_or_webhooks_are_set() {
        assert_eq!(settings(&[]).unwrap().events, None);
        let on = settings(&[("events", "true"), ("events_thresholds", "1000,100")]).unwrap();
        let rules = on.events.unwrap().rules;
        assert_eq!((rules.thresholds, rules.hysteresis_percent), (vec![100, 1_000], 10));
        assert_eq!(
            (rules.drop_percent, rules.drop_within_ms, rules.drop_viewers_min),
            (50, 60_000, 20)
        );
        let hook = format!("[{{ url = \"https://example.com/\", secret = \"{SECRET}\" }}]");
        let by_flag = settings(&[("webhooks", &hook)]).unwrap().events.unwrap();
        assert_eq!(by_flag.webhooks[0].name, "example.com");
        let by_file = of_file(&format!(
            "events_thresholds = [10]\n\
             [[webhooks]]\nurl = \"https://example.com/\"\nsecret = \"{SECRET}\"\n\
             [[webhooks]]\nname = \"b\"\nurl = \"http://10.0.0.1/\"\nprivate = true\n\
             secret = [\"{SECRET}\"]\nevents = [\"stage.drop\"]\nstages = [\"a*\"]\n"
        ));
        let by_file = by_file.unwrap().events.unwrap();
        assert_eq!(by_file.webhooks[0], by_flag.webhooks[0]);
        assert_eq!((&*by_file.webhooks[1].name, by_file.rules.thresholds), ("b", vec![10]));
    }

    #[test]
    fn secrets_come_from_a_file_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hook.secret");
        std::fs::write(&path, format!("{SECRET}\n{SECRET}\n")).unwrap();
        let hook =
            format!("[{{ url = \"https://example.com/\", secret = \"{}\" }}]", path.display());
        let events = settings(&[("webhooks", &hook)]).unwrap().events.unwrap();
        assert_eq!(events.webhooks[0].secrets.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_without_its_secret() {
        let hook = |rest: &str| format!("[{{ url = \"https://example.com/\", {rest} }}]");
        let good = format!("secret = \"{SECRET}\"");
        let twice = format!(
            "[{{ url = \"https://a.b/1\", {good} }}, {{ url = \"https://a.b/2\", {good} }}]"
        );
        // WEBHOOKS_MAX
        let many = format!("[{}]", "{ url = \"https://a.b/\" },".repeat(21));
        // EVENT_THRESHOLDS_MAX
        let numbers: Vec<String> = (1..=21).map(|number| number.to_string()).collect();
        for (name, value, why) in [
            ("webhooks", hook("secret = \"opensesame\""), "webhook 1: `secret` is neither"),
            ("webhooks", hook("secret = 7"), "webhook 1: `secret` must be a list"),
            ("webhooks", hook(&format!("{good}, colour = 1")), "webhook 1: `colour` is not a key"),
            ("webhooks", hook(&format!("{good}, private = 1")), "`private` must be true or false"),
            (
                "webhooks",
                hook(&format!("{good}, events = [\"all\"]")),
                "the types are stage.opened",
            ),
            ("webhooks", "opensesame".to_string(), "not a list of tables"),
            ("webhooks", "[1]".to_string(), "webhook 1: it must be a table"),
            ("webhooks", twice, "webhook 2: another one is named a.b"),
            ("webhooks", many, "it must be at most 20"),
            ("events_thresholds", numbers.join(","), "it must be at most 20"),
            ("events_thresholds", "0".to_string(), "`0` is not a number above 0"),
            ("events_drop", "101".to_string(), "it must be at most 100 percent"),
            ("events_hysteresis", "100".to_string(), "it must be at most 99 percent"),
            // EVENT_DROP_MS_MAX
            ("events_drop_within", "601s".to_string(), "it must be from 1s to 10m"),
        ] {
            let error = settings(&[(name, &value)]).unwrap_err().0;
            assert!(error.contains(why) && !error.contains("sesame"), "{error}");
        }
        for (name, value) in [("events", "true".to_string()), ("webhooks", hook(&good))] {
            let error = settings(&[(name, &value), ("cold", "none")]).unwrap_err().0;
            assert!(error.starts_with(&format!("`{name}`")), "{error}");
            assert!(error.ends_with("events need a cold tier, and `cold` = \"none\""), "{error}");
        }
    }
}
