package housecount

import java.io.ByteArrayOutputStream
import java.io.IOException
import java.math.BigInteger
import java.security.SecureRandom
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Executor
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.RejectedExecutionException
import java.util.concurrent.ScheduledExecutorService
import java.util.concurrent.ScheduledFuture
import java.util.concurrent.TimeUnit

/** A request has this long; the machine gives a heartbeat up after as long. */
private const val TIMEOUT_MS = 10_000

/** Events of a [Watch]. Every method is called by [WatchOptions.callbacks]. */
public interface WatchListener {
    /** A heartbeat was answered with the stage's count, about every 30 s. */
    public fun onCount(count: Count) {}

    /** A heartbeat failed, and is sent again after [waitMs]. */
    public fun onRetry(error: HousecountException, waitMs: Long) {}

    /** The server refuses the viewer for good, and nothing more is sent. */
    public fun onError(error: HousecountException) {}
}

/** Settings of a [Watch]. */
public class WatchOptions(
    /** Address of the server, such as `https://count.example.org`; a path is kept. */
    public val url: String,
    /** The stage: 1-256 bytes of printable ASCII without spaces. */
    public val stage: String,
    /** The viewer: 1-128 bytes of UTF-8 without control characters. */
    public val viewer: String,
    /** This player, where it has a name of its own, such as an IVS participant id. */
    public val session: String? = null,
    /** Returns a viewer's token; may block. Asked again before the token ends and after a 401. */
    public val token: (() -> String)? = null,
    public val listener: WatchListener = object : WatchListener {},
    /** Executor of the listener's methods; on Android the main thread's. */
    public val callbacks: Executor = Executor { it.run() },
    public val transport: Transport = UrlConnectionTransport,
    /** Whether heartbeats may use a WebSocket, which [transport] does not carry. Where that fails, they are POSTs. */
    public val webSocket: Boolean = transport === UrlConnectionTransport,
    /** Whether counts have sessions, for about 40 bytes more per heartbeat. */
    public val sessions: Boolean = false,
    /** Labels by the keys of the server's setting `labels`, such as `mapOf("device" to "tv")`. */
    public val labels: Map<String, String> = emptyMap(),
)

/**
 * A viewer who is counted until [leave]. Its methods return at once and may be called in any thread.
 *
 * One worker thread keeps the state; requests run in threads of a pool, of which at most two are busy.
 */
public class Watch(private val options: WatchOptions) : AutoCloseable {
    private val worker: ScheduledExecutorService = Executors.newSingleThreadScheduledExecutor(::daemon)
    private val requests: ExecutorService = Executors.newCachedThreadPool(::daemon)
    private var stay = newStay()
    private var session = newSession()
    private var timer: ScheduledFuture<*>? = null
    private var token: String? = null

    /** Identifies the request under way, so that the answer of one that was given up is passed over. */
    private var underWay: Any? = null
    private var call: Call<Event.Answer>? = null
    private val channel = Channel(options, TIMEOUT_MS)
    private val leaves = mutableSetOf<CountDownLatch>()
    private var hasClosed = false

    init {
        run { handle(Event.Start) }
    }

    /** Says that the viewer has stopped. May be called twice. */
    public fun leave(): Unit = run { handle(Event.Leave) }

    /** Counts the viewer again after [leave], in a new session unless the session was named. */
    public fun resume(): Unit = run {
        if (stay.state == State.OVER) {
            stay = newStay()
            session = newSession()
            handle(Event.Start)
        }
    }

    /** Says that the network is back: the next heartbeat goes at once. On Android call it from a `NetworkCallback`. */
    public fun online(): Unit = run {
        channel.reset()
        handle(Event.Online)
    }

    /** Says that the app is in the foreground again: a heartbeat that is overdue goes at once. */
    public fun wake(): Unit = run { handle(Event.Wake) }

    /** Leaves, waits until the leave is sent or 10 s are over, and ends the threads. The watch cannot be used again. */
    override fun close() {
        val sent = CountDownLatch(1)
        run {
            if (!hasClosed) handle(Event.Close)
            hasClosed = true
            val open = leaves.toList()
            requests.execute {
                open.forEach { it.await(TIMEOUT_MS.toLong(), TimeUnit.MILLISECONDS) }
                sent.countDown()
            }
        }
        if (!worker.isShutdown) sent.await(TIMEOUT_MS.toLong(), TimeUnit.MILLISECONDS)
        worker.shutdownNow()
        requests.shutdown()
    }

    /** Runs something in the worker; does nothing after [close]. */
    private fun run(task: () -> Unit) {
        try {
            worker.execute(task)
        } catch (_: RejectedExecutionException) {
            return
        }
    }

    private fun newStay() = Stay(hasOwnSession = options.session != null, hasTokens = options.token != null, chance = Math::random)

    /** 64 bits by chance: a session's name is never used again, unless the caller gave it. */
    private fun newSession() = options.session ?: BigInteger(64, random).toString(36)

    private fun handle(event: Event) {
        val now = System.currentTimeMillis()
        val effects = stay.handle(now, event)
        timer?.cancel(false)
        timer = stay.dueAt?.let { due ->
            worker.schedule({ handle(Event.Timer) }, maxOf(0, due - now), TimeUnit.MILLISECONDS)
        }
        effects.requests.forEach(::perform)
        val listener = options.listener
        when (val outcome = effects.outcome) {
            is Outcome.NewCount -> options.callbacks.execute { listener.onCount(outcome.count) }
            is Outcome.Retry -> options.callbacks.execute { listener.onRetry(outcome.error, outcome.waitMs) }
            is Outcome.Refusal -> {
                channel.reset()
                options.callbacks.execute { listener.onError(outcome.error) }
            }
            null -> Unit
        }
    }

    private fun perform(request: Request) {
        when (request) {
            Request.ABANDON -> {
                call?.cancel()
                call = null
                underWay = null
            }
            Request.LEAVE -> {
                val sent = CountDownLatch(1)
                val leave = channel.leave(identity())
                leaves += sent
                requests.execute {
                    try {
                        leave.run()
                    } catch (_: IOException) {
                        // A leave is a hint: without it the session ends a ttl after its last heartbeat.
                    } finally {
                        sent.countDown()
                        run { leaves -= sent }
                    }
                }
            }
            Request.TOKEN -> start { askForToken() }
            Request.HEARTBEAT -> {
                val mine = channel.heartbeat(identity())
                call = mine
                start { beat(mine) }
            }
        }
    }

    /** Starts a request whose event is handled, unless it is given up before. */
    private fun start(request: () -> Event) {
        val mine = Any()
        underWay = mine
        requests.execute {
            val event = request()
            run {
                if (underWay === mine) {
                    underWay = null
                    call = null
                    handle(event)
                }
            }
        }
    }

    private fun askForToken(): Event =
        try {
            val asked = checkNotNull(options.token)()
            run { token = asked }
            tokenOf(asked)
        } catch (error: Exception) {
            // It is the caller's function, and may throw anything.
            Event.Failure(HousecountException("no token could be had: $error", cause = error))
        }

    private fun beat(call: Call<Event.Answer>): Event =
        try {
            call.run()
        } catch (error: IOException) {
            Event.Failure(HousecountException("no answer: $error", cause = error))
        }

    private fun identity() = Identity(session, token)

    private companion object {
        val random = SecureRandom()

        fun daemon(task: Runnable): Thread = Thread(task, "housecount-watch").apply { isDaemon = true }
    }
}

/** Returns the event of a new token, with its times, unverified, where they can be read. */
internal fun tokenOf(token: String): Event.Token {
    val text = token.split('.').getOrNull(1)?.let(::decodeBase64Url) ?: ""
    val claims = try {
        Json.parse(text) as? Map<*, *>
    } catch (_: IllegalArgumentException) {
        null
    }
    fun ms(name: String) = (claims?.get(name) as? Double)?.let { (1_000 * it).toLong() }
    return Event.Token(ms("exp"), ms("iat"))
}

/** Decodes base64url without `java.util.Base64`, which Android has from version 8 on only. */
private fun decodeBase64Url(text: String): String? {
    val bytes = ByteArrayOutputStream()
    var bits = 0
    var count = 0
    for (char in text.trimEnd('=')) {
        val value = when (char) {
            in 'A'..'Z' -> char - 'A'
            in 'a'..'z' -> char - 'a' + 26
            in '0'..'9' -> char - '0' + 52
            '-' -> 62
            '_' -> 63
            else -> return null
        }
        bits = (bits shl 6) or value
        count += 6
        if (count >= 8) {
            count -= 8
            bytes.write((bits shr count) and 0xff)
            bits = bits and ((1 shl count) - 1)
        }
    }
    return bytes.toString("UTF-8")
}
