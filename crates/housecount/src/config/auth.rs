//! The settings `auth.*`.

use housecount_access::auth::{AuthSettings, Policy, Secret, TokenRules, jwks};

use super::{ConfigError, Layers, labels};

/// Reads and checks the settings `auth.*`. `serve` reads the files of keys, because other commands
/// do not need them.
///
/// # Errors
/// Returns the `ConfigError` of the first wrong setting.
pub fn settings(layers: &Layers) -> Result<AuthSettings, ConfigError> {
    let given = |key: &str| layers.text(key).map(|text| Some(text).filter(|text| !text.is_empty()));
    let policies =
        [("off", Policy::Off), ("optional", Policy::Optional), ("required", Policy::Required)];
    let settings = AuthSettings {
        viewer: layers.choice("auth.viewer", &policies)?,
        viewer_keys: given("auth.viewer_keys")?.map(Secret),
        viewer_jwks_url: match given("auth.viewer_jwks_url")? {
            Some(url) => {
                Some(jwks::parse(&url).map_err(|e| layers.invalid("auth.viewer_jwks_url", e))?)
            }
            None => None,
        },
        rules: TokenRules {
            audience: given("auth.audience")?,
            leeway_ms: layers.duration_ms("auth.leeway")?,
            label_keys: labels::keys(layers)?,
        },
        operator_keys: given("auth.operator_keys")?.map(Into::into),
    };
    let has_keys = settings.viewer_keys.is_some() || settings.viewer_jwks_url.is_some();
    if settings.viewer != Policy::Off && !has_keys {
        let text =
            "tokens can't be verified without keys; set auth.viewer_keys or auth.viewer_jwks_url";
        return Err(layers.invalid("auth.viewer", text));
    }
    if settings.rules.leeway_ms > 10 * 60 * 1_000 {
        return Err(layers.invalid(
            "auth.leeway",
            "it must be at most 10m: nodes accept expired tokens for that time",
        ));
    }
    Ok(settings)
}
