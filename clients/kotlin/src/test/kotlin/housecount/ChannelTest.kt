package housecount

import java.io.IOException
import java.net.ServerSocket
import java.net.Socket
import java.net.URI
import java.util.concurrent.CopyOnWriteArrayList
import javax.net.ssl.HttpsURLConnection
import javax.net.ssl.SSLException
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull

/** [Channel]: kinds of answers, and WebSockets to real nodes, also through a relay that changes the handshake. */
class ChannelTest {
    /** Passes bytes on to a node, after it has changed the request of each connection. `null`: the connection is closed. */
    private class Relay(target: String, change: (String) -> String?) : AutoCloseable {
        val requests = CopyOnWriteArrayList<String>()
        private val sockets = CopyOnWriteArrayList<Socket>()
        private val inbounds = CopyOnWriteArrayList<Socket>()
        private val server = ServerSocket(0)
        val url = "http://127.0.0.1:${server.localPort}"

        init {
            val node = URI(target)
            thread(isDaemon = true) {
                try {
                    while (true) {
                        val inbound = server.accept().also(sockets::add).also(inbounds::add)
                        thread(isDaemon = true) { relay(inbound, node, change) }
                    }
                } catch (_: IOException) {
                    // The relay was closed.
                }
            }
        }

        private fun relay(inbound: Socket, node: URI, change: (String) -> String?) = try {
            val head = StringBuilder()
            while (!head.endsWith("\r\n\r\n")) head.append(inbound.getInputStream().read().also { check(it >= 0) }.toChar())
            requests += head.lines().first()
            val changed = change("$head")
            if (changed == null) {
                inbound.close()
            } else {
                val onward = Socket(node.host, node.port).also(sockets::add)
                onward.getOutputStream().write(changed.toByteArray())
                thread(isDaemon = true) { copy(onward, inbound) }
                copy(inbound, onward)
            }
        } catch (_: IOException) {
            inbound.close()
        }

        private fun copy(from: Socket, to: Socket) {
            try {
                from.getInputStream().copyTo(to.getOutputStream())
            } catch (_: IOException) {
                // One end has closed.
            } finally {
                from.close()
                to.close()
            }
        }

        /** Number of open connections of clients. */
        fun open(): Int = inbounds.count { !it.isClosed }

        override fun close() {
            server.close()
            sockets.forEach { it.close() }
        }
    }

    private val stage = Nodes.newStage()

    private fun channel(url: String, sessions: Boolean = false) =
        Channel(WatchOptions(url, stage, "ann", sessions = sessions), timeoutMs = 5_000)

    private fun Channel.beat(session: String = "s", token: String? = null) = heartbeat(Identity(session, token)).run()

    @Test
    fun everyKindOfAnswerIsACount() {
        fun of(message: String) = answerOf(message).count?.let { listOf(it.viewers, it.sessions, it.asOf, it.complete, it.recovering, it.nextMs) }
        val long = """{"stage":"s","viewers":3,"sessions":4,"asOf":5,"complete":true,"recovering":false,"nextMs":29400}"""
        assertEquals(listOf(3L, 4L, 5L, true, false, 29_400L), of(long))
        assertEquals(listOf(3L, null, null, true, false, 28_700L), of("[3,287]"))
        assertEquals(listOf(3L, null, null, true, false, 7L), of("""{"stage":"s","viewers":3,"nextMs":7}"""))
        assertEquals(listOf(3L, 4L, 5L, false, true, 7L), of("""{"viewers":3,"sessions":4,"asOf":5,"complete":false,"recovering":true,"nextMs":7}"""))
        for (text in listOf("", "[]", "[1]", "[1,2,3]", "[\"1\",2]", "7", "null", "<html>", """{"left":true}""")) assertNull(of(text), text)
    }

    @Test
    fun problemsHaveTheStatusOfTheSameAnswerOverHttp() {
        fun of(message: String) = answerOf(message).let { listOf(it.status, it.error.code, it.error.status, it.error.retryAfterMs) }
        assertEquals(listOf(503, "overloaded", null, 2_000L), of("""{"code":"overloaded","detail":"later","retryAfterMs":2000}"""))
        assertEquals(listOf(400, "invalid_stage", null, null), of("""{"code":"invalid_stage","detail":"why"}"""))
        for (code in listOf("token_expired", "key_removed")) assertEquals(listOf(401, code, null, null), of("""{"code":"$code","detail":"why"}"""))
        assertEquals(listOf(503, "", null, null), of("<html>"))
    }

    @Test
    fun oneConnectionCarriesShortAnswersAndTheLeave() {
        Relay(Nodes.url) { it }.use { relay ->
            val channel = channel(relay.url)
            val counts = List(3) { assertNotNull(channel.beat().count) }
            assertEquals(listOf<Pair<Long, Long?>>(1L to null, 1L to null, 1L to null), counts.map { it.viewers to it.sessions })
            channel.leave(Identity("s", null)).run()
            assertEquals(listOf("GET /v1/ws HTTP/1.1"), relay.requests.toList())
            Nodes.until("the leave") { Nodes.sessions(Nodes.url, stage).isEmpty() }
        }
    }

    @Test
    fun sessionsAreAskedForByAnOption() {
        val channel = channel(Nodes.url, sessions = true)
        assertEquals(listOf<Long?>(1, 1), List(2) { channel.beat().count?.sessions })
        channel.reset()
        val posts = Channel(WatchOptions(Nodes.url, stage, "ann", sessions = true, webSocket = false), 5_000)
        assertEquals(1, posts.beat().count?.sessions)
        assertNull(Channel(WatchOptions(Nodes.url, stage, "ann", webSocket = false), 5_000).beat().count?.asOf)
    }

    @Test
    fun aNodeThatKnowsOnlyTheFirstSubprotocolIsUnderstood() {
        Relay(Nodes.url) { it.replace("housecount.2, ", "") }.use { relay ->
            val channel = channel(relay.url)
            repeat(2) { assertEquals(1, assertNotNull(channel.beat().count).sessions) }
            assertEquals(1, relay.requests.size)
            WebSocket.open("${relay.url}/v1/ws", null, 5_000) {}.use { assertEquals("housecount.1", it.protocol) }
            WebSocket.open("${Nodes.url}/v1/ws", null, 5_000) {}.use { assertEquals("housecount.2", it.protocol) }
            channel.reset()
        }
    }

    @Test
    fun whereWebSocketsAreBlockedHeartbeatsArePosts() {
        for (blocked in listOf<(String) -> String?>({ null }, { it.replace("Upgrade: websocket", "X: y") }, { it.replace("housecount.", "other.") })) {
            Relay(Nodes.url) { if (it.startsWith("GET")) blocked(it) else it }.use { relay ->
                val channel = channel(relay.url)
                repeat(2) { assertEquals(1, channel.beat().count?.viewers) }
                assertEquals(1, relay.requests.count { it.startsWith("GET") }, "no second try")
            }
        }
    }

    @Test
    fun aLostConnectionIsReplaced() {
        Relay(Nodes.url) { it }.use { relay ->
            val channel = channel(relay.url)
            channel.beat()
            Node().use { node ->
                node.start()
                val mine = channel(node.url)
                assertEquals(1, mine.beat().count?.viewers)
                node.kill()
                assertFailsWith<IOException> { mine.beat() }
                node.start()
                assertEquals(1, mine.beat().count?.viewers)
            }
            channel.reset()
        }
    }

    @Test
    fun aTokenIsASubprotocolAndAnotherOneIsAnotherConnection() {
        Relay(Nodes.keyedUrl) { it }.use { relay ->
            val channel = channel(relay.url)
            for (seconds in listOf(60L, 60L, 90L)) assertEquals(1, channel.beat(token = Nodes.token("ann", stage, seconds)).count?.viewers)
            assertEquals(List(relay.requests.size) { "GET /v1/ws HTTP/1.1" }, relay.requests.toList())
            // The relay sees that the connection of the former token has ended.
            Nodes.until("one open connection") { relay.open() == 1 }
            assertEquals(401, channel.beat(token = null).status)
            assertEquals("token_mismatch", channel.beat(token = Nodes.token("bob", stage, 60)).error.code)
        }
    }

    @Test
    fun overTlsTheCertificateMustBeTrustedAndTheHosts() {
        val before = HttpsURLConnection.getDefaultSSLSocketFactory()
        val verifier = HttpsURLConnection.getDefaultHostnameVerifier()
        fun open(url: String) = WebSocket.open("$url/v1/ws", null, 5_000) {}.use { it.protocol }
        try {
            for (name in listOf("ip:127.0.0.1", "dns:other.example")) {
                Certificate(name).use { certificate ->
                    HttpsURLConnection.setDefaultSSLSocketFactory(certificate.trusting)
                    HttpsURLConnection.setDefaultHostnameVerifier { _, _ -> true }
                    Node(certificate).use { node ->
                        node.start()
                        if (name == "ip:127.0.0.1") {
                            assertEquals("housecount.2", open(node.url))
                            val channel = channel(node.url)
                            repeat(2) { assertEquals(1, channel.beat().count?.viewers) }
                            channel.reset()
                            HttpsURLConnection.setDefaultSSLSocketFactory(before)
                        }
                        assertFailsWith<SSLException>("not trusted, or another host's: $name") { open(node.url) }
                    }
                }
            }
        } finally {
            HttpsURLConnection.setDefaultSSLSocketFactory(before)
            HttpsURLConnection.setDefaultHostnameVerifier(verifier)
        }
    }

    @Test
    fun aHeartbeatThatWaitsCanBeGivenUp() {
        ServerSocket(0).use { silent ->
            val call = channel("http://127.0.0.1:${silent.localPort}").heartbeat(Identity("s", null))
            val ended = thread { assertFailsWith<IOException> { call.run() } }
            silent.accept().use { it.getInputStream().read() }
            call.cancel()
            ended.join()
        }
    }

    @Test
    fun base64IsThatOfTheJvm() {
        for (size in 0..8) {
            val bytes = ByteArray(size) { (251 * it + 7).toByte() }
            assertEquals(java.util.Base64.getEncoder().encodeToString(bytes), encodeBase64(bytes))
        }
    }
}
