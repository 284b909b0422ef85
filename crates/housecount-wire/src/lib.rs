//! Connections of clients: everything between a socket and a request, of any API.
//!
//! Which request gets which answer is not known here. A server gives a function from a request to a
//! [`ResponseFuture`].

pub mod accept;
pub mod connection;
pub mod h2;
pub mod socket;
pub mod timeouts;
pub mod unread;
pub mod write_timeout;

use std::pin::Pin;

use hyper::Response;

/// Future of an answer. It is in a box that exists only while a request is open, because most
/// connections are idle.
pub type ResponseFuture<B> = Pin<Box<dyn Future<Output = Response<B>> + Send>>;
