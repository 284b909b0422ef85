//! Texts that a spreadsheet must not run.
//!
//! Players and operators choose ids and names, and a spreadsheet runs a field that begins with `=`
//! as a formula.

/// Whether a spreadsheet would run the field (OWASP, "CSV Injection", 2026-10).
#[must_use]
pub fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}
