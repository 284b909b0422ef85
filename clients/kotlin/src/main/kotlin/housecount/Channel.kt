package housecount

import java.io.IOException

/** Timeout of opening a WebSocket. Some proxies neither forward nor reject one. */
private const val OPEN_MS_MAX = 4_000

/** Timeout of the answer to a leave on a WebSocket, after which a request repeats it. */
private const val LEFT_MS_MAX = 1_500
private const val AGAIN = "{}"
private const val LEAVE = """{"leave":true}"""

/** A heartbeat or a leave that may be given up. */
internal interface Call<Answer> {
    /** Sends it, in a thread of its own. @throws IOException no answer came */
    fun run(): Answer

    /** Gives it up. May be called in any thread, at any time. */
    fun cancel()
}

/** A session and its token, as each request has them. */
internal class Identity(val session: String, val token: String?)

/**
 * Carries a watch's heartbeats and leaves: over a WebSocket while that works, by POST otherwise.
 *
 * A call takes the idle connection out, and puts it back when it is answered. So no two threads use one.
 */
internal class Channel(private val options: WatchOptions, private val timeoutMs: Int) {
    private class Connection(val socket: WebSocket, val identity: Identity)

    private val lock = Any()
    private var idle: Connection? = null

    /** If the first WebSocket fails, a proxy blocks all of them. */
    @Volatile
    private var mayUseSocket = options.webSocket

    @Volatile
    private var hasSocketWorked = false

    /** Fields of heartbeats that leaves don't have. */
    private val labels: Map<String, Any?> = if (options.labels.isEmpty()) emptyMap() else mapOf("labels" to options.labels)

    /** Prepares a heartbeat. */
    fun heartbeat(identity: Identity): Call<Event.Answer> = object : Call<Event.Answer> {
        @Volatile
        private var isCancelled = false

        @Volatile
        private var socket: WebSocket? = null
        private val request = post("/v1/heartbeat", identity, labels + if (options.sessions) emptyMap() else mapOf("answer" to "short"))

        override fun run(): Event.Answer {
            if (mayUseSocket) {
                try {
                    return bySocket()
                } catch (error: IOException) {
                    socket?.close()
                    if (isCancelled) throw error
                    mayUseSocket = hasSocketWorked
                }
            }
            return answerOf(request.run())
        }

        private fun bySocket(): Event.Answer {
            val kept = take { it.session == identity.session && it.token == identity.token }
            kept?.let { hold(it.socket) }
            val open = kept?.socket ?: WebSocket.open(url("/v1/ws"), identity.token, OPEN_MS_MAX, ::hold).also(::hold)
            val beat = Json.write(fields(identity) + labels + if (options.sessions) mapOf("sessions" to true) else emptyMap())
            val event = answerOf(open.exchange(if (kept == null) beat else AGAIN, timeoutMs))
            hasSocketWorked = true
            // After an error the node may not have this heartbeat, so the next one is sent on a new connection.
            if (event.count == null || isCancelled) open.close() else put(Connection(open, identity))
            return event
        }

        private fun hold(open: WebSocket) {
            socket = open
            if (isCancelled) open.close()
        }

        override fun cancel() {
            isCancelled = true
            socket?.close()
            request.cancel()
        }
    }

    /** Prepares a leave. On the idle connection it arrives behind all heartbeats. */
    fun leave(identity: Identity): Call<Unit> = object : Call<Unit> {
        private val request = post("/v1/leave", identity)
        private val connection = take { it.session == identity.session }

        override fun run() {
            connection?.socket?.use {
                try {
                    if ((parse(it.exchange(LEAVE, LEFT_MS_MAX)) as? Map<*, *>)?.get("left") == true) return
                } catch (_: IOException) {
                    // The request repeats it.
                }
            }
            request.run()
        }

        override fun cancel() = request.cancel()
    }

    /** Closes the idle connection, which may hang after a change of the network. */
    fun reset() {
        mayUseSocket = options.webSocket
        take { false }
    }

    /** Takes the idle connection out; closes it if its identity does not fit. */
    private fun take(fits: (Identity) -> Boolean): Connection? {
        val taken = synchronized(lock) { idle.also { idle = null } } ?: return null
        if (fits(taken.identity)) return taken
        taken.socket.close()
        return null
    }

    private fun put(connection: Connection) = synchronized(lock) { idle.also { idle = connection } }?.socket?.close()

    private fun url(path: String) = options.url.trimEnd('/') + path

    private fun fields(identity: Identity): Map<String, Any?> =
        mapOf("stage" to options.stage, "viewer" to options.viewer, "session" to identity.session)

    private fun post(path: String, identity: Identity, more: Map<String, Any?> = emptyMap()): HttpCall {
        val headers = mutableMapOf("content-type" to "application/json")
        identity.token?.let { headers["authorization"] = "Bearer $it" }
        return options.transport.post(url(path), Json.write(fields(identity) + more), headers, timeoutMs)
    }
}

/** Codes of a connection whose token has ended: another one may succeed. */
private val TOKEN_CODES = setOf("token_expired", "key_removed")

/** Reads the answer to a heartbeat over HTTP, which may be anything where no node answered. */
internal fun answerOf(answer: HttpAnswer): Event.Answer {
    val body = parse(answer.body)
    val status = answer.status
    val retryAfterMs = answer.retryAfter?.toDoubleOrNull()?.takeIf { it >= 0 }?.let { (1_000 * it).toLong() }
    val error = problemOf(body, status, retryAfterMs)
        ?: HousecountException("no housecount node answered, but something with status $status", "", status, retryAfterMs)
    return Event.Answer(status, countOf(body), error)
}

/** Reads the answer to a heartbeat over a WebSocket. It has no status, so it gets that of the same answer over HTTP. */
internal fun answerOf(message: String): Event.Answer {
    val body = parse(message)
    val count = countOf(body)
    val retryAfterMs = ((body as? Map<*, *>)?.get("retryAfterMs") as? Double)?.toLong()
    val error = problemOf(body, null, retryAfterMs)
    val status = when {
        count != null -> 200
        error == null || retryAfterMs != null -> 503
        error.code in TOKEN_CODES -> 401
        else -> 400
    }
    return Event.Answer(status, count, error ?: HousecountException("no answer of a housecount node"))
}

private fun problemOf(body: Any?, status: Int?, retryAfterMs: Long?): HousecountException? {
    val fields = body as? Map<*, *> ?: return null
    val code = fields["code"] as? String ?: return null
    val detail = fields["detail"] as? String ?: return null
    return HousecountException(detail, code, status, retryAfterMs)
}

/** Reads a count: all fields, those that have unusual values, or `[viewers, next]`, which counts in steps of 100 ms. */
private fun countOf(body: Any?): Count? {
    if (body is List<*>) {
        val (viewers, next) = body.map { (it as? Double)?.toLong() ?: return null }.takeIf { it.size == 2 } ?: return null
        return Count(viewers, null, null, complete = true, recovering = false, nextMs = 100 * next)
    }
    val fields = body as? Map<*, *> ?: return null
    fun number(name: String) = (fields[name] as? Double)?.toLong()
    return Count(
        number("viewers"),
        number("sessions"),
        number("asOf"),
        fields["complete"] as? Boolean ?: true,
        fields["recovering"] as? Boolean ?: false,
        number("nextMs") ?: return null,
    )
}

private fun parse(text: String): Any? =
    try {
        Json.parse(text)
    } catch (_: IllegalArgumentException) {
        null
    }
