//! The attribute of async tests: `#[tokio::test]` with a time limit, so that a test that waits for
//! ever fails and is named.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Time limit of a test, in seconds. The slowest tests take more than a minute.
const LIMIT_S: u64 = 600;
/// Time limit of a test on a paused clock, which some tests advance by hours.
const LIMIT_PAUSED_S: u64 = 30 * 24 * 60 * 60;

/// Runs an async test as `#[tokio::test]` does, with the same arguments. The test fails if it has
/// not ended within ten minutes, or within 30 days of a paused clock.
#[proc_macro_attribute]
pub fn timed_test(arguments: TokenStream, test: TokenStream) -> TokenStream {
    let is_paused = arguments.to_string().contains("start_paused");
    let limit_s = if is_paused { LIMIT_PAUSED_S } else { LIMIT_S };
    let mut tokens: Vec<TokenTree> = test.into_iter().collect();
    let Some(TokenTree::Group(body)) = tokens.pop() else {
        return parsed("compile_error!(\"a timed test is an async function\");");
    };
    let mut timed = parsed(&format!("::std::time::Duration::from_secs({limit_s}), async"));
    timed.extend([TokenTree::Group(body)]);
    let mut outcome = parsed("::tokio::time::timeout");
    outcome.extend([group(Delimiter::Parenthesis, timed)]);
    outcome
        .extend(parsed(&format!(".await.is_ok(), \"the test has not ended within {limit_s} s\"")));
    let mut checked = parsed("::std::assert!");
    checked.extend([group(Delimiter::Parenthesis, outcome)]);
    checked.extend(parsed(";"));
    let attribute = match arguments.is_empty() {
        true => "#[::tokio::test]".to_string(),
        false => format!("#[::tokio::test({arguments})]"),
    };
    let mut out = parsed(&attribute);
    out.extend(tokens);
    out.extend([group(Delimiter::Brace, checked)]);
    out
}

/// Parses this file's own text. A mistake in it would fail each test's build.
fn parsed(text: &str) -> TokenStream {
    text.parse().unwrap_or_default()
}

fn group(delimiter: Delimiter, tokens: TokenStream) -> TokenTree {
    TokenTree::Group(Group::new(delimiter, tokens))
}
