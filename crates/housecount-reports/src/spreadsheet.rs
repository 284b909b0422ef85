//! CSV for spreadsheets, with texts that a spreadsheet must not run.
//!
//! Players and operators choose ids and names, and a spreadsheet runs a field that begins with `=`
//! as a formula.

/// Whether a spreadsheet would run the field (OWASP, "CSV Injection", 2026-10).
#[must_use]
pub fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// Appends a line of CSV (RFC 4180). A field that a spreadsheet would run begins with `'`.
pub fn push_line(csv: &mut String, fields: &[&str]) {
    for (n, field) in fields.iter().enumerate() {
        if n > 0 {
            csv.push(',');
        }
        let is_quoted = field.contains(['"', ',', '\r', '\n']);
        let guard = if is_formula(field) { "'" } else { "" };
        if is_quoted {
            csv.push_str(&format!("\"{guard}{}\"", field.replace('"', "\"\"")));
        } else {
            csv.push_str(guard);
            csv.push_str(field);
        }
    }
    csv.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_guarded() {
        let mut csv = String::new();
        push_line(&mut csv, &["acme", "", "1"]);
        push_line(&mut csv, &["=1+1", "a,b", "say \"a\""]);
        push_line(&mut csv, &["-1,2", "\r", "two\nlines"]);
        let expected = [
            "acme,,1\n",
            "'=1+1,\"a,b\",\"say \"\"a\"\"\"\n",
            "\"'-1,2\",\"'\r\",\"two\nlines\"\n",
        ];
        assert_eq!(csv, expected.concat());
    }
}
