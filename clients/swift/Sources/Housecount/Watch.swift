import Foundation

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

/// Event of a `Watch`.
public enum WatchEvent: Sendable {
    /// A heartbeat was answered with the stage's count, about every 30 s.
    case count(Count)
    /// A heartbeat failed, and is sent again after so many ms.
    case retry(HousecountError, waitMs: Double)
    /// The server refuses the viewer for good, and nothing more is sent.
    case refused(HousecountError)
}

/// A viewer who is counted until `leave()`.
public actor Watch {
    private let channel: Channel
    private let ownSession: String?
    private let askForToken: (@Sendable () async throws -> String)?
    private let onEvent: @Sendable (WatchEvent) -> Void
    private var stay: Stay
    private var session: String
    private var token: String?
    private var timer: Task<Void, Never>?
    private var underWay: Task<Void, Never>?
    /// Counts requests, so that the answer of one that was given up is passed over.
    private var request = 0
    private var leaves: [Task<Void, Never>] = []

    /// Makes a watch; `start()` begins to count.
    ///
    /// - Parameters:
    ///   - url: where housecount answers, such as `https://count.example.org`; a path is kept.
    ///   - session: this player, where it has a name of its own, such as an IVS participant id.
    ///   - labels: labels by the keys of the server's setting `labels`, such as `["device": "tv"]`.
    ///   - token: returns a viewer's token. Asked again before the token ends and after a 401.
    ///   - sessions: whether counts have sessions, for about 40 bytes more per heartbeat.
    ///   - onEvent: called with counts and errors, on no particular thread.
    public init(
        url: URL, stage: String, viewer: String, session: String? = nil, labels: [String: String] = [:],
        token: (@Sendable () async throws -> String)? = nil, sessions: Bool = false, http: URLSession = .shared,
        onEvent: @escaping @Sendable (WatchEvent) -> Void = { _ in }
    ) {
        channel = Channel(url: url, stage: stage, viewer: viewer, labels: labels, wantsSessions: sessions, http: http)
        ownSession = session
        askForToken = token
        self.onEvent = onEvent
        stay = Stay(hasOwnSession: session != nil, hasTokens: token != nil)
        self.session = session ?? Watch.newSession()
    }

    /// Counts the viewer, also again after `leave()`: then in a new session unless the session was named.
    public func start() {
        if stay.state == .over {
            stay = Stay(hasOwnSession: ownSession != nil, hasTokens: askForToken != nil)
            session = ownSession ?? Watch.newSession()
        }
        handle(.start)
    }

    /// Says that the viewer has stopped. May be called twice.
    public func leave() { handle(.leave) }

    /// Says that the network is back: the next heartbeat goes at once. Call it from an `NWPathMonitor`.
    public func online() async {
        await channel.reset()
        handle(.online)
    }

    /// Says that the app is in the foreground again: a heartbeat that is overdue goes at once.
    public func wake() { handle(.wake) }

    /// Leaves without waiting for a heartbeat under way, and returns when the leave is sent. Call it in a background task when the
    /// app ends.
    public func close() async {
        handle(.close)
        for leave in leaves { await leave.value }
    }

    /// 64 bits by chance: a session's name is never used again, unless the caller gave it.
    private static func newSession() -> String { String(UInt64.random(in: .min ... .max), radix: 36) }

    private func handle(_ event: Stay.Event) {
        let now = 1_000 * Date().timeIntervalSince1970
        let effects = stay.handle(now: now, event)
        timer?.cancel()
        timer = stay.dueAt.map { due in
            Task { [weak self] in
                try? await Task.sleep(nanoseconds: UInt64(1_000_000 * max(0, due - now)))
                if !Task.isCancelled { await self?.handle(.timer) }
            }
        }
        for request in effects.requests { perform(request) }
        switch effects.outcome {
        case .counted(let count): onEvent(.count(count))
        case .retrying(let error, let waitMs): onEvent(.retry(error, waitMs: waitMs))
        case .refused(let error):
            let channel = channel
            Task { await channel.reset() }
            onEvent(.refused(error))
        case nil: break
        }
    }

    private func perform(_ what: Stay.Request) {
        switch what {
        case .abandon:
            request += 1
            underWay?.cancel()
            underWay = nil
        case .leave:
            let identity = identity
            let channel = channel
            leaves.append(Task { await channel.leave(identity) })
        case .token:
            start { watch in await watch.newToken() }
        case .heartbeat:
            let identity = identity
            let channel = channel
            start { _ in
                do {
                    return try await channel.heartbeat(identity)
                } catch {
                    return .failure(HousecountError("no answer: \(error)"))
                }
            }
        }
    }

    /// Starts a request whose event is handled, unless it is given up before.
    private func start(_ run: @escaping @Sendable (Watch) async -> Stay.Event) {
        request += 1
        let mine = request
        underWay = Task { [weak self] in
            guard let self else { return }
            let event = await run(self)
            await self.finish(mine, event)
        }
    }

    private func finish(_ mine: Int, _ event: Stay.Event) {
        guard mine == request else { return }
        underWay = nil
        handle(event)
    }

    private func newToken() async -> Stay.Event {
        do {
            let asked = try await askForToken?() ?? ""
            token = asked
            return event(token: asked)
        } catch {
            return .failure(HousecountError("no token could be had: \(error)"))
        }
    }

    private var identity: Channel.Identity { Channel.Identity(session: session, token: token) }
}
