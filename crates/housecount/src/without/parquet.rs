//! Parquet files in a binary that was built without the feature `parquet`.

use std::io::{Error, ErrorKind, Result, Write};

use housecount_stores::features;

use super::table::{Cell, Column, Sink};

/// A Parquet file. This binary writes none.
#[derive(Debug)]
pub enum Parquet {}

impl Parquet {
    /// Refuses to begin a file.
    pub fn new(_: Box<dyn Write + Send>, _: Vec<Column>) -> Result<Parquet> {
        Err(Error::new(ErrorKind::Unsupported, features::missing("parquet")))
    }
}

impl Sink for Parquet {
    fn row(&mut self, _: Vec<Cell>) -> Result<()> {
        match *self {}
    }

    fn finish(self: Box<Self>) -> Result<()> {
        match *self {}
    }
}
