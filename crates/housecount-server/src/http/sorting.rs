//! Orders of lists that a caller may choose, and the cursors that belong to them.
//!
//! A cursor of such a list has the value of the last row's key and its id. So pages follow each
//! other without a gap and without a row twice, as long as the values stay.

use serde::Deserialize;
use utoipa::ToSchema;

use super::error::Problem;
use super::extract::bad_query;

/// Direction of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// The smallest key first.
    Asc,
    /// The largest key first.
    Desc,
}

/// Place after which a page begins: the value of the key, and the id.
pub type SortPlace = (u64, String);

/// Writes a cursor.
pub fn cursor((value, id): &SortPlace) -> String {
    format!("{value}~{id}")
}

/// Parses a cursor.
///
/// # Errors
/// Returns a 400 `Problem` if no page could have ended with it.
pub fn parse_cursor(text: &str) -> Result<SortPlace, Problem> {
    let place = text.split_once('~').and_then(|(value, id)| {
        let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        Some((value.parse().ok().filter(|_| is_number)?, id.to_string()))
    });
    place.filter(|(_, id)| !id.is_empty()).ok_or_else(|| {
        bad_query("unknown cursor; send one that an earlier page of the same order returned")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for place in [(0, "ann".to_string()), (u64::MAX, "a~b~1".to_string())] {
            assert_eq!(parse_cursor(&cursor(&place)), Ok(place));
        }
        for bad in ["", "ann", "~ann", "1~", "+1~ann", "-1~ann", "99999999999999999999~ann"] {
            assert!(parse_cursor(bad).is_err(), "{bad}");
        }
    }
}
