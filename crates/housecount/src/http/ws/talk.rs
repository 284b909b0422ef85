//! A player's talk over a WebSocket, from the upgrade to the close.
//!
//! One task does all of it: it reads on while heartbeats wait for the log, and sends when the
//! socket takes it. What it holds is bounded: a message, the last heartbeat, a few answers that are
//! due (`due`), one complaint, one message on its way out.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, SinkExt, StreamExt};
use housecount_core::batch::Batch;
use housecount_core::event::{EventKind, EventRef};
use housecount_core::limits::{
    REQUEST_WAIT_MS_MAX, WS_BAD_MESSAGES_MAX, WS_MESSAGE_BYTES_MAX, WS_WRITE_BUFFER_BYTES_MAX,
};
use housecount_core::time::UnixMs;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Message as Frame, WebSocketConfig, frame::coding::CloseCode,
};
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};

use super::due::Dues;
use super::message::{Beaten, Complaint, Left, Message, not_text, nothing_to_repeat};
use super::silence::Silence;
use crate::auth::{self, Claims, CredentialEnd};
use crate::edge::Whence;
use crate::edge::caps::Held;
use crate::http::beats::BeatenBody;
use crate::http::error::Problem;
use crate::http::stream::Stream;
use crate::http::welcome::welcome;
use crate::http::write_timeout::WriteTimeoutStream;
use crate::ingest::{Receipt, Refused, Said};
use crate::node::Node;

/// How long a close may take until the player has seen it.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Room to read into: a heartbeat with long ids fits, and every connection has it.
const READ_BUFFER_BYTES: usize = 1_024;

/// The socket of a player, once it is upgraded.
pub type Socket = WebSocketStream<WriteTimeoutStream<Stream>>;

/// Small buffers, since there are many players; what is sent goes out at once.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WS_WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(WS_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(WS_MESSAGE_BYTES_MAX))
}

/// Task of one player's WebSocket, with all of its state.
pub struct Talk {
    socket: Socket,
    node: Arc<Node>,
    /// Who speaks.
    whence: Whence,
    /// Rooms of what was said, each until it is known what became of it: at most as many as may
    /// wait for the log.
    held: Vec<(Receipt, Box<Held>)>,
    /// Of the player's token; it has none where none is needed.
    claims: Option<Claims>,
    /// The last heartbeat, and nothing else.
    last: Batch,
    dues: Dues,
    complaint: Option<Complaint>,
    /// Messages without sense, and pings beyond the address's limit, one after the other.
    bad: usize,
    /// Whether all that was sent is on its way, pongs too.
    is_flushed: bool,
}

/// Gives up the room of what the log has taken, or has not.
fn release(held: &mut Vec<(Receipt, Box<Held>)>) {
    held.retain(|(receipt, _)| !receipt.is_settled());
}

/// What happens next.
enum Next {
    Heard(Result<Frame, Error>),
    Told(Result<(), Refused>),
    Flushed,
    Silent,
    Ended(CredentialEnd),
    Stopped,
    Gone,
}

impl Talk {
    pub fn new(socket: Socket, node: Arc<Node>, claims: Option<Claims>, whence: Whence) -> Talk {
        let (last, dues) = (Batch::default(), Dues::default());
        Talk {
            socket,
            node,
            claims,
            whence,
            held: Vec::new(),
            last,
            dues,
            complaint: None,
            bad: 0,
            is_flushed: true,
        }
    }

    /// Talks until the player goes, or `stop`. (Where it lies: to move it into what waits would
    /// make room for it twice.)
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) {
        let silence =
            Duration::from_millis(self.node.settings.rules.ttl_ms.max(REQUEST_WAIT_MS_MAX));
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        let mut silence = Silence::new(silence);
        // In a box, which is there only for who has a token.
        let mut ended = self.claims.as_ref().map(|claims| {
            let (node, credential) = (self.node.clone(), claims.credential());
            Box::pin(async move { node.auth.ended(&credential).await })
        });
        loop {
            if self.is_flushed && self.send_next().is_err() {
                return;
            }
            let next = tokio::select! {
                biased;
                _ = stopped.as_mut() => Next::Stopped,
                // Before more is read: a player that always has something to say would outlive its
                // token.
                why = auth::end_of(&mut ended) => Next::Ended(why),
                next = progress(&mut self.socket, &self.dues, &mut self.is_flushed) => next,
                () = silence.too_long() => Next::Silent,
            };
            match next {
                Next::Heard(Ok(frame)) => {
                    silence.broken();
                    self.hear(frame).await;
                    if self.bad >= WS_BAD_MESSAGES_MAX {
                        break self.end(CloseCode::Policy, "too many bad messages", None).await;
                    }
                }
                Next::Heard(Err(error)) => break self.broken(&error).await,
                Next::Told(outcome) => {
                    release(&mut self.held);
                    self.dues.note(outcome);
                }
                Next::Flushed => {}
                Next::Silent => {
                    break self.end(CloseCode::Normal, "nothing heard for too long", None).await;
                }
                Next::Ended(why) => {
                    let problem = Problem::from(why);
                    break self.end(CloseCode::Policy, problem.code(), Some(problem.into())).await;
                }
                Next::Stopped => {
                    break self.end(CloseCode::Away, "this node is stopping", None).await;
                }
                Next::Gone => return,
            }
        }
    }

    /// Takes a frame, which is one of the requests that its address may send, whatever is in it.
    async fn hear(&mut self, frame: Frame) {
        if matches!(frame, Frame::Close(_)) {
            // The library has answered it.
            return;
        }
        let counted = self.node.edge.addresses.take(self.whence, 1).map_err(Problem::from);
        let outcome = match (counted, &frame) {
            (Err(problem), _) => Err(problem),
            (Ok(()), Frame::Text(text)) => self.hear_text(text).await,
            (Ok(()), Frame::Binary(_)) => Err(not_text()),
            (Ok(()), _) => Ok(()),
        };
        // The library has a pong to send.
        self.is_flushed &= !frame.is_ping();
        let is_control = frame.is_ping() || frame.is_pong();
        match outcome {
            Ok(()) if is_control => {}
            Ok(()) => self.bad = 0,
            Err(problem) => {
                // A ping can't be put off as a heartbeat can: who goes on sending them is let go.
                self.bad = if is_control || problem.is_the_clients() { self.bad + 1 } else { 0 };
                self.complain(problem);
            }
        }
    }

    /// Takes in a heartbeat or leave.
    async fn hear_text(&mut self, text: &str) -> Result<(), Problem> {
        let message = Message::parse(text)?;
        release(&mut self.held);
        let kind = message.kind();
        let ids = message.ids();
        let named = ids.as_ref().map(|ids| ids.said(kind)).transpose()?;
        let said = match named {
            Some(said) => said,
            None => {
                let EventRef { stage, viewer, session, .. } =
                    self.last.iter().next().ok_or_else(nothing_to_repeat)?;
                Said { kind, stage, viewer, session }
            }
        };
        let viewers = &self.node.auth.viewers;
        match &self.claims {
            Some(claims) => {
                claims.check(&said)?;
                viewers.note_holder(said.viewer, claims.ends());
            }
            None => viewers.may_say_without(said.viewer)?,
        }
        let welcomed = welcome(&self.node, said).await?;
        let receipt = welcomed.take(&self.node)?;
        self.held.extend(welcomed.into_held().map(|held| (receipt.clone(), held)));
        self.dues.add(said.stage, kind, receipt);
        if let Some(Said { kind: EventKind::Beat, stage, viewer, session }) = named {
            self.last.clear();
            self.last.push(&EventRef { at: UnixMs::ZERO, kind, stage, viewer, session });
        }
        Ok(())
    }

    fn complain(&mut self, problem: Problem) {
        self.node.metrics.reject(problem.code());
        self.complaint = Some(problem.into());
    }

    /// Sends what is to be said, one after the other, for as long as the socket takes it at once.
    fn send_next(&mut self) -> Result<(), Error> {
        while self.is_flushed {
            if let Some(complaint) = self.complaint.take() {
                self.send_json(&complaint)?;
                continue;
            }
            let Some((due, outcome)) = self.dues.take() else { return Ok(()) };
            let stage = &*due.stage;
            let answered = self.node.metrics.answered(due.receipt.is_coalesced());
            answered.ws.inc_by(u64::from(outcome.is_ok()));
            match (due.kind, outcome) {
                (_, Err(refused)) => self.complain(refused.into()),
                (EventKind::Leave, Ok(())) => self.send_json(&Left { stage, left: true })?,
                (EventKind::Beat, Ok(())) => {
                    let body = BeatenBody::of(&self.node, stage, &due.receipt);
                    self.send(Beaten { stage, body }.text())?;
                }
            }
        }
        Ok(())
    }

    fn send_json(&mut self, body: &impl Serialize) -> Result<(), Error> {
        // Our own bodies can always be written.
        self.send(serde_json::to_string(body).unwrap_or_default())
    }

    fn send(&mut self, text: String) -> Result<(), Error> {
        Pin::new(&mut self.socket).start_send(Frame::Text(Utf8Bytes::from(text)))?;
        // Nobody is to be woken: if it isn't out yet, the next wait begins with asking again.
        let mut context = Context::from_waker(std::task::Waker::noop());
        self.is_flushed = match self.socket.poll_flush_unpin(&mut context) {
            Poll::Ready(done) => done.map(|()| true)?,
            Poll::Pending => false,
        };
        Ok(())
    }

    /// What can't be read ends the talk; the player is told why, if it still listens.
    async fn broken(&mut self, error: &Error) {
        match error {
            Error::Capacity(_) => self.end(CloseCode::Size, "the message is too large", None).await,
            Error::Utf8(_) => self.end(CloseCode::Invalid, "the message is not UTF-8", None).await,
            // It has closed without a word, and wants none.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {}
            Error::Protocol(_) => self.end(CloseCode::Protocol, "not WebSocket", None).await,
            _ => {}
        }
    }

    /// Closes with a last message, if there is one, and waits until the player has seen it: data
    /// that is still unread when a socket is closed would take back what was sent.
    async fn end(&mut self, code: CloseCode, reason: &'static str, last: Option<Complaint>) {
        let said = async {
            // First what waits already: the library drops a close that finds no room.
            self.socket.flush().await?;
            if let Some(last) = last {
                self.send_json(&last)?;
                self.socket.flush().await?;
            }
            let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
            self.socket.close(Some(frame)).await?;
            while let Some(Ok(_)) = self.socket.next().await {}
            let stream = self.socket.get_mut();
            stream.shutdown().await?;
            let mut rest = vec![0; READ_BUFFER_BYTES];
            while stream.read(&mut rest).await? > 0 {}
            Ok::<_, Error>(())
        };
        let _ = timeout(CLOSE_WAIT, said).await;
    }
}

/// Reads and writes, whichever can be done; nothing is read while there is no room for what would
/// be answered.
async fn progress(socket: &mut Socket, dues: &Dues, is_flushed: &mut bool) -> Next {
    let (mut told, mut settled) = (pin!(dues.told()), pin!(dues.settled()));
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = told.as_mut().poll(cx) {
            return Poll::Ready(Next::Told(outcome));
        }
        if !*is_flushed {
            match socket.poll_flush_unpin(cx) {
                Poll::Ready(Ok(())) => {
                    *is_flushed = true;
                    return Poll::Ready(Next::Flushed);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Next::Gone),
                Poll::Pending => {}
            }
        }
        if !dues.has_room() {
            // Asked to be woken, and once more in case it was settled meanwhile.
            let _ = settled.as_mut().poll(cx);
            if !dues.has_room() {
                return Poll::Pending;
            }
        }
        socket.poll_next_unpin(cx).map(|heard| heard.map_or(Next::Gone, Next::Heard))
    })
    .await
}
