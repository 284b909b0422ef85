//! The settings `prices` and `cost.*`.

use std::path::PathBuf;

use housecount_cost::guard::{BudgetGuard, BudgetLimit};
use housecount_cost::{CostSettings, Prices, Usd, read_prices};

use super::machine::memory_bytes;
use super::{ConfigError, Layers};

fn prices(layers: &Layers) -> Result<Prices, ConfigError> {
    let file = layers.text("prices")?;
    let file = (!file.is_empty()).then(|| PathBuf::from(file));
    read_prices(file.as_deref()).map_err(|e| layers.invalid("prices", &e.to_string()))
}

/// Reads and checks the settings.
///
/// # Errors
/// Returns the `ConfigError` of the first wrong setting.
pub(super) fn settings(layers: &Layers) -> Result<CostSettings, ConfigError> {
    let prices = prices(layers)?;
    let machine = machine(layers, &prices)?;
    Ok(CostSettings { prices, limit: limit(layers)?, machine })
}

/// Reads the machine whose price is counted. By default it is found by its memory.
fn machine(layers: &Layers, prices: &Prices) -> Result<Option<String>, ConfigError> {
    match layers.text("cost.machine")?.as_str() {
        "none" => Ok(None),
        "" => {
            let machine = memory_bytes().and_then(|bytes| prices.machine_of(bytes));
            Ok(machine.map(|machine| machine.name.clone()))
        }
        name if prices.machine(name).is_some() => Ok(Some(name.to_string())),
        _ => {
            let names: Vec<&str> = prices.machine.iter().map(|known| known.name.as_str()).collect();
            let expected = format!("it must be none or one of {}", names.join(", "));
            Err(layers.invalid("cost.machine", &expected))
        }
    }
}

fn limit(layers: &Layers) -> Result<Option<BudgetLimit>, ConfigError> {
    let guard = layers.choice(
        "cost.guard",
        &[
            ("warn", BudgetGuard::Warn),
            ("stretch", BudgetGuard::Stretch),
            ("interval", BudgetGuard::Interval),
        ],
    )?;
    let month = Usd::parse(&layers.text("cost.monthly_limit_usd")?);
    let month = month.map_err(|e| layers.invalid("cost.monthly_limit_usd", e))?;
    Ok((month > Usd(0)).then_some(BudgetLimit { month, guard }))
}
