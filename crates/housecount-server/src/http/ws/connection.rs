//! A player's WebSocket, from the upgrade to the close.
//!
//! One task serves a socket. It reads while heartbeats wait for the log, and sends when the socket
//! has room. Its state is bounded: a message, the last heartbeat, a few pending answers
//! (`replies`), one error reply, and one message on its way out.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, SinkExt, StreamExt};
use housecount_access::admission::{AdmissionError, ClientAddr};
use housecount_access::auth::{self, Claims, CredentialEnd};
use housecount_access::labels::LabelValues;
use housecount_backend::clock::mono_ms;
use housecount_core::batch::Batch;
use housecount_core::event::{EventKind, EventRef, SessionLabels};
use housecount_core::limits::{
    REQUEST_WAIT_MS_MAX, WS_BAD_MESSAGES_MAX, WS_MESSAGE_BYTES_MAX, WS_WRITE_BUFFER_BYTES_MAX,
};
use housecount_core::time::UnixMs;
use housecount_engine::internals::{DisplacementWaiter, IngestError, PendingAck, UnstampedEvent};
use housecount_wire::socket::stream::MaybeTlsStream;
use housecount_wire::write_timeout::WriteTimeoutStream;
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

use super::idle::IdleTimer;
use super::message::{
    ErrorReply, HeartbeatReply, LeaveReply, Message, not_text, nothing_to_repeat,
};
use super::replies::ReplyQueue;
use super::short::ShortAnswers;
use crate::http::admit::{AdmissionRequest, HeldPlaces};
use crate::http::beats::HeartbeatResponse;
use crate::http::error::{DISPLACED, Problem};
use crate::http::labels;
use crate::node::Node;

/// Longest time for a close until the player has seen it.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Size of the read buffer, which every connection holds. A longer message makes it grow.
const READ_BUFFER_BYTES: usize = 256;

/// The socket of a player, once it is upgraded.
pub type Socket = WebSocketStream<WriteTimeoutStream<MaybeTlsStream>>;

/// Returns the settings of a socket. Its buffers are small, since there are many players, and
/// messages are sent without delay.
pub fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WS_WRITE_BUFFER_BYTES_MAX)
        .max_message_size(Some(WS_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(WS_MESSAGE_BYTES_MAX))
}

/// Client of a WebSocket, as its upgrade request describes it.
pub struct Player {
    /// Claims of the player's token; `None` where no token is needed.
    pub claims: Option<Claims>,
    /// Client address of the player.
    pub client_addr: ClientAddr,
    /// Whether the player asked for the subprotocol with short answers.
    pub has_short_answers: bool,
    /// Labels that a trusted proxy has written into the headers of the upgrade request.
    pub labels: Option<Box<LabelValues>>,
}

/// Task of one player's WebSocket, with all of its state.
pub struct PlayerSocket {
    socket: Socket,
    node: Arc<Node>,
    /// Client address of the player.
    client_addr: ClientAddr,
    /// Reservations of events, each until the outcome of its event is known. Their number is
    /// bounded by the events that may wait for the log.
    held: Vec<(PendingAck, Box<HeldPlaces>)>,
    /// Claims of the player's token; `None` where no token is needed.
    claims: Option<Claims>,
    /// Labels in the headers of the upgrade request.
    header_labels: Option<Box<LabelValues>>,
    /// The last heartbeat, as the only event.
    last: Batch,
    replies: ReplyQueue,
    /// Short answers, if the client asked for the subprotocol that has them.
    short: Option<ShortAnswers>,
    error_reply: Option<ErrorReply>,
    /// Wait for the displacement of its session, where streams are limited.
    displacement: Option<Box<DisplacementWaiter>>,
    /// Number of consecutive senseless messages, and pings beyond the address's limit.
    bad: usize,
    /// Whether all messages are flushed, pongs too.
    is_flushed: bool,
}

/// Releases the reservations of events whose outcome is known.
fn release(held: &mut Vec<(PendingAck, Box<HeldPlaces>)>) {
    held.retain(|(ack, _)| !ack.is_resolved());
    held.shrink_to_fit();
}

/// Next event of the socket's task.
enum SocketEvent {
    Frame(Result<Frame, Error>),
    AckReady(Result<(), IngestError>),
    Displaced,
    Flushed,
    IdleTimeout,
    Ended(CredentialEnd),
    Stopped,
    PeerClosed,
}

impl PlayerSocket {
    pub fn new(socket: Socket, node: Arc<Node>, player: Player) -> PlayerSocket {
        let Player { claims, client_addr, has_short_answers, labels } = player;
        PlayerSocket {
            socket,
            node,
            claims,
            client_addr,
            header_labels: labels,
            held: Vec::new(),
            last: Batch::default(),
            replies: ReplyQueue::default(),
            short: has_short_answers.then(ShortAnswers::default),
            error_reply: None,
            displacement: None,
            bad: 0,
            is_flushed: true,
        }
    }

    /// Serves the socket until the player disconnects, or `stop`. It is borrowed, because a move
    /// into the waiting future would reserve room for it twice.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) {
        let silence =
            Duration::from_millis(self.node.engine.settings.rules.ttl_ms.max(REQUEST_WAIT_MS_MAX));
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        let mut silence = IdleTimer::new(silence);
        // In a box, which exists only for a player with a token.
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
                _ = stopped.as_mut() => SocketEvent::Stopped,
                // Before more is read: otherwise a player that always sends would outlive its
                // token.
                why = auth::end_of(&mut ended) => SocketEvent::Ended(why),
                next = poll_io(&mut self.socket, &self.replies, &mut self.is_flushed) => next,
                () = displaced(&self.displacement) => SocketEvent::Displaced,
                () = silence.expired() => SocketEvent::IdleTimeout,
            };
            match next {
                SocketEvent::Frame(Ok(frame)) => {
                    silence.reset();
                    self.handle_frame(frame).await;
                    if self.bad >= WS_BAD_MESSAGES_MAX {
                        break self.close(CloseCode::Policy, "too many bad messages", None).await;
                    }
                }
                SocketEvent::Frame(Err(error)) => break self.close_on_error(&error).await,
                SocketEvent::AckReady(outcome) => {
                    release(&mut self.held);
                    self.replies.mark_ready(outcome);
                }
                // The player may go on with another session, so the socket stays open.
                SocketEvent::Displaced => self.queue_error(AdmissionError::Displaced.into()),
                SocketEvent::Flushed => {}
                SocketEvent::IdleTimeout => {
                    break self.close(CloseCode::Normal, "no message for too long", None).await;
                }
                SocketEvent::Ended(why) => {
                    let problem = Problem::from(why);
                    break self
                        .close(CloseCode::Policy, problem.code(), Some(problem.into()))
                        .await;
                }
                SocketEvent::Stopped => {
                    break self.close(CloseCode::Away, "this node is stopping", None).await;
                }
                SocketEvent::PeerClosed => return,
            }
        }
    }

    /// Handles a frame. Each frame, whatever is in it, counts as a request of its address.
    async fn handle_frame(&mut self, frame: Frame) {
        if matches!(frame, Frame::Close(_)) {
            // The library has answered it.
            return;
        }
        let counted =
            self.node.admission.addresses.check(self.client_addr, 1).map_err(Problem::from);
        let outcome = match (counted, &frame) {
            (Err(problem), _) => Err(problem),
            (Ok(()), Frame::Text(text)) => Box::pin(self.handle_text(text)).await,
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
                // A ping cannot be deferred as a heartbeat can. So a player that keeps sending them
                // is disconnected.
                self.bad = if is_control || problem.is_client_error() { self.bad + 1 } else { 0 };
                self.queue_error(problem);
            }
        }
    }

    /// Enqueues a heartbeat or leave. It runs in a box, for which an idle task needs no room.
    async fn handle_text(&mut self, text: &str) -> Result<(), Problem> {
        let message = Message::parse(text)?;
        release(&mut self.held);
        let (kind, options) = (message.kind(), message.options());
        let ids = message.ids();
        let named = ids.as_ref().map(|ids| ids.to_event(kind)).transpose()?;
        // A leave has no labels, and wrong ones are refused all the same.
        let given = ids.as_ref().map(|ids| labels::of_body(&self.node, ids)).transpose()?.flatten();
        let given = given.filter(|_| kind == EventKind::Beat);
        let labels = given.as_ref().map_or(SessionLabels::NONE, |given| given.labels());
        if let (Some(short), Some(named)) = (&mut self.short, &named) {
            short.note_stage(named.ids.stage);
        }
        let event = match named {
            Some(event) => UnstampedEvent { labels, ..event },
            None => {
                let EventRef { ids, labels, .. } =
                    self.last.iter().next().ok_or_else(nothing_to_repeat)?;
                UnstampedEvent { kind, ids, labels }
            }
        };
        let viewers = &self.node.auth.viewers;
        match &self.claims {
            Some(claims) => {
                claims.check(&event)?;
                viewers.note_holder(event.ids.viewer, claims.expires_at());
            }
            None => viewers.authorize_without_token(event.ids.viewer)?,
        }
        let replaces = ids.as_ref().map(|ids| ids.replaces()).transpose()?.flatten();
        let claim = async || Ok(self.claims.as_ref().and_then(Claims::streams));
        let labels_claim = async || Ok(self.claims.as_ref().and_then(Claims::labels).cloned());
        let admitted = AdmissionRequest::new(&self.node, event)
            .require_open_stage(&self.node)
            .await?
            .limit_streams(&self.node, replaces, claim)
            .await?
            .with_labels(&self.node, event.labels, self.header_labels.as_deref(), labels_claim)
            .await?
            .admit(&self.node, mono_ms())?;
        let ack = admitted.enqueue(&self.node)?;
        if self.node.admission.streams.is_on() && kind == EventKind::Beat && named.is_some() {
            let waiter = self.node.engine.hub.wait_for_displacement(admitted.event().ids);
            self.displacement = Some(Box::new(waiter));
        }
        self.held.extend(admitted.into_places().map(|held| (ack.clone(), Box::new(held))));
        self.replies.add(event.ids.stage, kind, ack);
        if let Some(UnstampedEvent { kind: EventKind::Beat, ids, .. }) = named {
            if let Some(short) = &mut self.short {
                short.set_options(options);
            }
            self.last.clear();
            self.last.push(&EventRef { labels, at: UnixMs::ZERO, kind, ids });
        }
        Ok(())
    }

    fn queue_error(&mut self, problem: Problem) {
        if problem.code() == DISPLACED {
            // Reported once, whichever of the beat and the displacement comes first.
            self.displacement = None;
        }
        self.node.engine.metrics.count_rejection(problem.code());
        self.error_reply = Some(problem.into());
        if let Some(short) = &mut self.short {
            short.note_refused();
        }
    }

    /// Sends pending messages, one after the other, while the socket takes them without waiting.
    fn send_next(&mut self) -> Result<(), Error> {
        while self.is_flushed {
            if let Some(error_reply) = self.error_reply.take() {
                self.send_json(&error_reply)?;
                continue;
            }
            let Some((due, outcome)) = self.replies.take() else { return Ok(()) };
            let stage = &*due.stage;
            let answered = self.node.engine.metrics.answered(due.ack.is_coalesced());
            answered.ws.inc_by(u64::from(outcome.is_ok()));
            match (due.kind, outcome) {
                (_, Err(refused)) => self.queue_error(refused.into()),
                // Players send no displacements.
                (EventKind::Leave | EventKind::Displace, Ok(())) => match &mut self.short {
                    Some(short) => {
                        let text = short.leave(stage);
                        self.send(text)?;
                    }
                    None => self.send_json(&LeaveReply { stage: Some(stage), left: true })?,
                },
                (EventKind::Beat, Ok(())) => {
                    let body = HeartbeatResponse::of(&self.node, stage, &due.ack);
                    let text = match &mut self.short {
                        Some(short) => short.heartbeat(stage, &body),
                        None => Some(HeartbeatReply { stage, body }.text()),
                    };
                    match text {
                        Some(text) => self.send(text)?,
                        None => self.socket.get_ref().inner().acknowledge(),
                    }
                }
            }
        }
        Ok(())
    }

    fn send_json(&mut self, body: &impl Serialize) -> Result<(), Error> {
        // Bodies of these types can always be serialized.
        self.send(serde_json::to_string(body).unwrap_or_default())
    }

    fn send(&mut self, text: String) -> Result<(), Error> {
        Pin::new(&mut self.socket).start_send(Frame::Text(Utf8Bytes::from(text)))?;
        // No task needs a wakeup. If the message is not flushed yet, the next wait polls again
        // first.
        let mut context = Context::from_waker(std::task::Waker::noop());
        self.is_flushed = match self.socket.poll_flush_unpin(&mut context) {
            Poll::Ready(done) => done.map(|()| true)?,
            Poll::Pending => false,
        };
        Ok(())
    }

    /// Ends the connection after an unreadable frame, with the reason if the player can still read
    /// it.
    async fn close_on_error(&mut self, error: &Error) {
        match error {
            Error::Capacity(_) => {
                self.close(CloseCode::Size, "the message is too large", None).await
            }
            Error::Utf8(_) => {
                self.close(CloseCode::Invalid, "the message is not UTF-8", None).await
            }
            // It closed without a close frame, and needs none.
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {}
            Error::Protocol(_) => self.close(CloseCode::Protocol, "not WebSocket", None).await,
            _ => {}
        }
    }

    /// Closes with a last message, if there is one, and waits until the player has seen it. If data
    /// is still unread when a socket is closed, the system may discard the sent messages.
    async fn close(&mut self, code: CloseCode, reason: &'static str, last: Option<ErrorReply>) {
        let event = async {
            // Flushed first, since the library drops a close that finds no room.
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
        let _ = Box::pin(timeout(CLOSE_WAIT, event)).await;
    }
}

/// Waits until the session is displaced; forever where streams are not limited.
async fn displaced(displacement: &Option<Box<DisplacementWaiter>>) {
    match displacement {
        Some(displacement) => displacement.displaced().await,
        None => std::future::pending().await,
    }
}

/// Reads or writes, whichever is possible. Reads nothing while no room is left for the answers.
async fn poll_io(socket: &mut Socket, dues: &ReplyQueue, is_flushed: &mut bool) -> SocketEvent {
    let (mut ready, mut settled) = (pin!(dues.next_ready()), pin!(dues.wait_for_log()));
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = ready.as_mut().poll(cx) {
            return Poll::Ready(SocketEvent::AckReady(outcome));
        }
        if !*is_flushed {
            match socket.poll_flush_unpin(cx) {
                Poll::Ready(Ok(())) => {
                    *is_flushed = true;
                    return Poll::Ready(SocketEvent::Flushed);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(SocketEvent::PeerClosed),
                Poll::Pending => {}
            }
        }
        if !dues.has_room() {
            // Registered for a wakeup, then checked again in case the outcome came meanwhile.
            let _ = settled.as_mut().poll(cx);
            if !dues.has_room() {
                return Poll::Pending;
            }
        }
        socket
            .poll_next_unpin(cx)
            .map(|received| received.map_or(SocketEvent::PeerClosed, SocketEvent::Frame))
    })
    .await
}
