import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// A request has this long; the machine gives a heartbeat up after as long.
private let timeoutS = 10.0
/// Timeout of opening a WebSocket. Some proxies neither forward nor reject one.
private let openTimeoutS = 4.0
/// Timeout of the answer to a leave on a WebSocket, after which a request repeats it.
private let leftTimeoutS = 1.5

/// Carries a watch's heartbeats and leaves: over a WebSocket while that works, by POST otherwise.
///
/// A call takes the idle connection out, and puts it back when it is answered. So no two calls use one.
actor Channel {
    /// A session and its token, as each request has them.
    struct Identity: Equatable, Sendable {
        let session: String
        let token: String?
    }

    private struct Connection {
        let socket: URLSessionWebSocketTask
        let identity: Identity
    }

    private let url: URL
    private let stage: String
    private let viewer: String
    private let labels: [String: String]?
    private let wantsSessions: Bool
    private let http: URLSession
    private var idle: Connection?
    /// If the first WebSocket fails, a proxy blocks all of them.
    private var mayUseSocket = true
    private var hasSocketWorked = false

    init(url: URL, stage: String, viewer: String, labels: [String: String], wantsSessions: Bool, http: URLSession) {
        self.url = url
        self.stage = stage
        self.viewer = viewer
        self.labels = labels.isEmpty ? nil : labels
        self.wantsSessions = wantsSessions
        self.http = http
    }

    /// Sends a heartbeat and reads its answer.
    func heartbeat(_ identity: Identity) async throws -> Stay.Event {
        if mayUseSocket {
            do {
                return try await heartbeatBySocket(identity)
            } catch {
                if Task.isCancelled { throw error }
                mayUseSocket = hasSocketWorked
            }
        }
        let answerKind = wantsSessions ? nil : "short"
        let beat = Beat(stage: stage, viewer: viewer, session: identity.session, labels: labels, answer: answerKind)
        let (body, response) = try await http.data(for: post("v1/heartbeat", identity, beat))
        guard let answer = response as? HTTPURLResponse else { throw HousecountError("no HTTP answer") }
        return event(status: answer.statusCode, retryAfter: answer.value(forHTTPHeaderField: "Retry-After"), body: body)
    }

    /// Sends a leave. On the idle connection it arrives behind all heartbeats.
    func leave(_ identity: Identity) async {
        let kept = take()
        if let kept, kept.identity.session == identity.session,
            let answer = try? await exchange(kept.socket, #"{"leave":true}"#, timeoutS: leftTimeoutS),
            (try? JSONDecoder().decode(Left.self, from: answer))?.left == true {
            close(kept)
            return
        }
        close(kept)
        let beat = Beat(stage: stage, viewer: viewer, session: identity.session)
        // A leave is a hint: without it the session ends a ttl after its last heartbeat.
        _ = try? await http.data(for: post("v1/leave", identity, beat))
    }

    /// Closes the idle connection, which may hang after a change of the network.
    func reset() {
        mayUseSocket = true
        close(take())
    }

    private func heartbeatBySocket(_ identity: Identity) async throws -> Stay.Event {
        var kept = take()
        if kept?.identity != identity {
            close(kept)
            kept = nil
        }
        let socket = kept?.socket ?? open(identity.token)
        do {
            let sessions = wantsSessions ? true : nil
            let beat = Beat(stage: stage, viewer: viewer, session: identity.session, labels: labels, sessions: sessions)
            let text = kept == nil ? String(decoding: try JSONEncoder().encode(beat), as: UTF8.self) : "{}"
            // A new connection may be blocked; one that works gets the time of a request.
            let answer = try await exchange(socket, text, timeoutS: hasSocketWorked ? timeoutS : openTimeoutS)
            hasSocketWorked = true
            let result = event(message: answer)
            // After an error the node may not have this heartbeat, so the next one is sent on a new connection.
            if case .answer(_, let count, _) = result, count != nil, !Task.isCancelled {
                close(idle)
                idle = Connection(socket: socket, identity: identity)
            } else {
                socket.cancel(with: .normalClosure, reason: nil)
            }
            return result
        } catch {
            socket.cancel()
            throw error
        }
    }

    private func open(_ token: String?) -> URLSessionWebSocketTask {
        // A node takes the first one that it knows: short answers, or long ones. Proxies log addresses, so the token is not there.
        let protocols = ["housecount.2", "housecount.1"] + (token.map { ["housecount.token.\($0)"] } ?? [])
        var parts = URLComponents(url: url.appendingPathComponent("v1/ws"), resolvingAgainstBaseURL: true)
        parts?.scheme = url.scheme == "https" ? "wss" : "ws"
        let socket = http.webSocketTask(with: parts?.url ?? url, protocols: protocols)
        socket.resume()
        return socket
    }

    /// Sends a message and returns the next one.
    private nonisolated func exchange(
        _ socket: URLSessionWebSocketTask, _ text: String, timeoutS: Double
    ) async throws -> Data {
        let timer = Task {
            try await Task.sleep(nanoseconds: UInt64(1_000_000_000 * timeoutS))
            socket.cancel()
        }
        defer { timer.cancel() }
        return try await withTaskCancellationHandler {
            try await socket.send(.string(text))
            switch try await socket.receive() {
            case .string(let answer): return Data(answer.utf8)
            case .data(let answer): return answer
            @unknown default: throw HousecountError("a message of an unknown kind")
            }
        } onCancel: {
            socket.cancel()
        }
    }

    private func take() -> Connection? {
        defer { idle = nil }
        return idle
    }

    private func close(_ connection: Connection?) { connection?.socket.cancel(with: .normalClosure, reason: nil) }

    private func post(_ path: String, _ identity: Identity, _ beat: Beat) -> URLRequest {
        var request = URLRequest(
            url: url.appendingPathComponent(path), cachePolicy: .reloadIgnoringLocalCacheData, timeoutInterval: timeoutS)
        request.httpMethod = "POST"
        request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        if let token = identity.token { request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization") }
        request.httpBody = try? JSONEncoder().encode(beat)
        return request
    }
}
