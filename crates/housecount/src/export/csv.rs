//! CSV output, through the crate `csv`.
//!
//! Players and operators choose ids and names, and a spreadsheet runs a field that begins with `=`
//! as a formula. So such fields are written as text, unless the file is for machines.

use std::io::{self, Write};

use housecount_reports::spreadsheet::is_formula;

use super::table::{Cell, Column, Sink};

/// Style of the fields of a CSV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsvStyle {
    /// A field that a spreadsheet would run begins with `'`. For people and machines.
    Guarded,
    /// Every field as it is. For machines.
    Raw,
    /// The same as guarded, with the byte order mark by which Excel recognises UTF-8.
    Excel,
}

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Exporter of rows as CSV: a header, and one line per row.
pub struct Csv {
    writer: csv::Writer<Box<dyn Write + Send>>,
    is_guarded: bool,
}

impl Csv {
    /// Writes the header.
    pub fn new(
        mut out: Box<dyn Write + Send>,
        columns: Vec<Column>,
        style: CsvStyle,
    ) -> io::Result<Csv> {
        if style == CsvStyle::Excel {
            out.write_all(BYTE_ORDER_MARK)?;
        }
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(columns.iter().map(|column| &*column.name)).map_err(cause)?;
        Ok(Csv { writer, is_guarded: style != CsvStyle::Raw })
    }

    fn shown(&self, cell: Cell) -> String {
        match cell {
            Cell::Text(text) if self.is_guarded && is_formula(&text) => format!("'{text}"),
            Cell::Text(text) => text,
            // A number is never negative, so it is never a formula.
            Cell::Number(number) => number.to_string(),
        }
    }
}

/// Unwraps the writer's I/O error, since a closed pipe must be recognised.
fn cause(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

impl Sink for Csv {
    fn row(&mut self, cells: Vec<Cell>) -> io::Result<()> {
        let shown: Vec<String> = cells.into_iter().map(|cell| self.shown(cell)).collect();
        self.writer.write_record(shown).map_err(cause)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::table::ColumnType;

    fn written(style: CsvStyle, texts: &[&str]) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let columns = vec![
            Column { name: "id".into(), kind: ColumnType::Text },
            Column { name: "n".into(), kind: ColumnType::Number },
        ];
        let mut sink = Csv::new(Box::new(file.reopen().unwrap()), columns, style).unwrap();
        for text in texts {
            sink.row(vec![Cell::Text(text.to_string()), Cell::Number(7)]).unwrap();
        }
        Box::new(sink).finish().unwrap();
        std::fs::read(file.path()).unwrap()
    }

    #[test]
    fn formulas_become_text_unless_it_is_raw() {
        let formulas =
            ["=1+1", "+49 30 1", "-1", "@SUM(A1)", "\ttab", "\rreturn", "=HYPERLINK(\"x\",\"y\")"];
        let harmless = ["ann", "a=b", "'=1", " =1", "", "{\"tag\":\"=1\"}", "1-2", "Zoë"];
        let all: Vec<&str> = formulas.iter().chain(&harmless).copied().collect();
        for (style, prefix) in
            [(CsvStyle::Guarded, "'"), (CsvStyle::Excel, "'"), (CsvStyle::Raw, "")]
        {
            let bytes = written(style, &all);
            let text = String::from_utf8(bytes).unwrap();
            let text = text.trim_start_matches('\u{feff}');
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            assert_eq!(reader.headers().unwrap(), vec!["id", "n"], "{style:?}");
            let read: Vec<String> =
                reader.records().map(|record| record.unwrap()[0].to_string()).collect();
            let guarded = formulas.iter().map(|text| format!("{prefix}{text}"));
            let expected: Vec<String> =
                guarded.chain(harmless.iter().map(ToString::to_string)).collect();
            assert_eq!(read, expected, "{style:?}");
        }
    }

    #[test]
    fn only_excel_has_a_byte_order_mark() {
        let begins = |style| written(style, &["ann"]).starts_with(b"\xef\xbb\xbfid,n\nann,7\n");
        assert_eq!(
            [CsvStyle::Guarded, CsvStyle::Raw, CsvStyle::Excel].map(begins),
            [false, false, true]
        );
        assert_eq!(written(CsvStyle::Raw, &["=1"]), b"id,n\n=1,7\n");
        assert_eq!(written(CsvStyle::Guarded, &["=1,2"]), b"id,n\n\"'=1,2\",7\n");
    }
}
