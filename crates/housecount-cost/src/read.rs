//! Reads a file of prices.

use std::path::Path;

use crate::Prices;
use crate::prices::DEFAULT_PRICES;

/// Reason why prices can't be used: one line with the file, the line and the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PricesError(String);

/// Reads the prices of a file, or those that come with this program.
///
/// # Errors
/// Returns one line that names the file, the line and the key.
pub fn read_prices(file: Option<&Path>) -> Result<Prices, PricesError> {
    let Some(file) = file else { return parse("prices.toml", DEFAULT_PRICES) };
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|e| PricesError(format!("{shown}: {e}")))?;
    parse(&shown, &text)
}

fn parse(shown: &str, text: &str) -> Result<Prices, PricesError> {
    let prices: Prices = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = &text[..at];
        let line = 1 + before.matches('\n').count();
        // The TOML error names a missing or unknown key itself. A wrong value is named by its line.
        let written = text.lines().nth(line - 1).unwrap_or_default();
        let key = written
            .split_once('=')
            .map(|(key, _)| format!("`{}`: ", key.trim()))
            .unwrap_or_default();
        PricesError(format!("{shown}, line {line}: {key}{}", error.message().replace('\n', " ")))
    })?;
    prices.check().map_err(|why| PricesError(format!("{shown}: {why}")))?;
    Ok(prices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let wrong = |from: &str, to: &str| {
            let text = DEFAULT_PRICES.replacen(from, to, 1);
            assert_ne!(text, DEFAULT_PRICES);
            let error = parse("my.toml", &text).unwrap_err().to_string();
            assert!(error.starts_with("my.toml, line ") && !error.contains('\n'), "{error}");
            error
        };
        let line = |text: &str| {
            let at = DEFAULT_PRICES.find(text).unwrap();
            format!("line {}: ", 1 + DEFAULT_PRICES[..at].matches('\n').count())
        };
        let error = wrong("read_hour = 0.00013", "read_hour = \"cheap\"");
        assert!(error.contains(&line("read_hour")) && error.contains("`read_hour`"), "{error}");
        let error = wrong("gb_free = 25", "gb_free = -25");
        assert!(error.contains(&line("gb_free = ")) && error.contains("`gb_free`"), "{error}");
        let error = wrong("write_million = 0.625\n", "");
        assert!(error.contains("`write_million`"), "{error}");
        let error = wrong("write_million = 0.625", "write_milion = 0.625");
        assert!(error.contains("`write_milion`"), "{error}");
        let error = wrong("write_million = 0.625", "write_million = ");
        assert!(error.contains(&line("write_million")), "{error}");
        assert!(parse("x", "").unwrap_err().to_string().contains("`name`"));
        assert!(
            read_prices(Some(Path::new("/nowhere.toml")))
                .unwrap_err()
                .to_string()
                .contains("/nowhere.toml")
        );
        assert_eq!(read_prices(None).unwrap().name, "us-east-1, 2026-10");
    }
}
