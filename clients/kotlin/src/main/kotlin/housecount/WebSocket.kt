package housecount

import java.io.ByteArrayOutputStream
import java.io.Closeable
import java.io.IOException
import java.io.InputStream
import java.net.InetSocketAddress
import java.net.Socket
import java.net.URI
import java.security.MessageDigest
import java.security.SecureRandom
import javax.net.ssl.HttpsURLConnection
import javax.net.ssl.SSLSocket

/** Subprotocols, of which a node takes the first that it knows: short answers, and long ones. */
private val PROTOCOLS = listOf("housecount.2", "housecount.1")

/** Prefix of the subprotocol that carries the token, because proxies log addresses. */
private const val TOKEN_PREFIX = "housecount.token."

/** Suffix of RFC 6455 that proves that the answer is to this handshake. */
private const val ACCEPT_SUFFIX = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
private const val HEAD_BYTES_MAX = 8_192
private const val MESSAGE_BYTES_MAX = 65_536
private const val TEXT = 1
private const val CLOSE = 8
private const val PING = 9
private const val PONG = 10

/** A WebSocket client (RFC 6455) for heartbeats: text messages, each with one answer. Its methods block. */
internal class WebSocket private constructor(private val socket: Socket) : Closeable {
    private val input: InputStream by lazy { socket.getInputStream().buffered() }

    /** Subprotocol that the node took. */
    var protocol: String = ""
        private set

    /**
     * Sends a message and returns the next one.
     *
     * @throws IOException the connection has ended, or no message came in [timeoutMs]
     */
    fun exchange(text: String, timeoutMs: Int): String {
        socket.soTimeout = timeoutMs
        send(TEXT, text.toByteArray())
        return receive()
    }

    /** Ends the connection, and any [exchange] in another thread. */
    override fun close() {
        try {
            socket.close()
        } catch (_: IOException) {
            return
        }
    }

    private fun send(opcode: Int, payload: ByteArray) {
        val frame = ByteArrayOutputStream(payload.size + 8)
        frame.write(0x80 or opcode)
        if (payload.size < 126) {
            frame.write(0x80 or payload.size)
        } else {
            frame.write(0x80 or 126)
            frame.write(payload.size shr 8)
            frame.write(payload.size and 0xff)
        }
        val mask = ByteArray(4).also(random::nextBytes)
        frame.write(mask)
        for ((at, byte) in payload.withIndex()) frame.write(byte.toInt() xor mask[at % 4].toInt())
        socket.getOutputStream().write(frame.toByteArray())
    }

    private fun receive(): String {
        val message = ByteArrayOutputStream()
        while (true) {
            val first = byte()
            val size = when (val short = byte()) {
                126 -> number(2)
                127 -> number(8)
                else -> short.toLong()
            }
            // A node masks nothing, so that a masked frame is too large as well.
            if (size + message.size() > MESSAGE_BYTES_MAX) throw IOException("a message of $size bytes")
            val payload = ByteArray(size.toInt()) { byte().toByte() }
            when (first and 0x0f) {
                CLOSE -> throw IOException("the node closed the WebSocket: ${payload.drop(2).toByteArray().decodeToString()}")
                PING -> send(PONG, payload)
                PONG -> Unit
                else -> {
                    message.write(payload)
                    if (first and 0x80 != 0) return message.toString("UTF-8")
                }
            }
        }
    }

    private fun number(bytes: Int): Long = (0 until bytes).fold(0L) { number, _ -> (number shl 8) or byte().toLong() }

    private fun byte(): Int = input.read().also { if (it < 0) throw IOException("the WebSocket has ended") }

    private fun shakeHands(uri: URI, token: String?) {
        val key = encodeBase64(ByteArray(16).also(random::nextBytes))
        val offers = PROTOCOLS + listOfNotNull(token?.let { TOKEN_PREFIX + it })
        val host = if (uri.port < 0) uri.host else "${uri.host}:${uri.port}"
        val head = listOf(
            "GET ${uri.rawPath} HTTP/1.1", "Host: $host", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: $key", "Sec-WebSocket-Protocol: ${offers.joinToString(", ")}", "", "",
        )
        socket.getOutputStream().write(head.joinToString("\r\n").toByteArray())
        val lines = answerHead().split("\r\n")
        val fields = lines.drop(1).associate { it.substringBefore(':').lowercase() to it.substringAfter(':', "").trim() }
        if (lines[0].split(' ').getOrNull(1) != "101") throw IOException("no WebSocket: ${lines[0]}")
        val proof = MessageDigest.getInstance("SHA-1").digest((key + ACCEPT_SUFFIX).toByteArray())
        if (fields["sec-websocket-accept"] != encodeBase64(proof)) throw IOException("no WebSocket: a wrong Sec-WebSocket-Accept")
        protocol = fields["sec-websocket-protocol"] ?: ""
        if (protocol !in PROTOCOLS) throw IOException("no housecount node took the WebSocket, but something with subprotocol $protocol")
    }

    private fun answerHead(): String {
        val head = StringBuilder()
        while (!head.endsWith("\r\n\r\n")) {
            if (head.length >= HEAD_BYTES_MAX) throw IOException("no WebSocket: an answer without end")
            head.append(byte().toChar())
        }
        return head.toString()
    }

    internal companion object {
        private val random = SecureRandom()

        /**
         * Opens a WebSocket.
         *
         * @param url of the route, with `http:` or `https:`
         * @param onSocket receives the socket before it connects, so that another thread can close it
         * @throws IOException nothing answered in [timeoutMs], or not with a WebSocket of housecount
         */
        fun open(url: String, token: String?, timeoutMs: Int, onSocket: (WebSocket) -> Unit): WebSocket {
            val uri = URI(url)
            val isSecure = uri.scheme == "https"
            if (token != null && !token.all { it in '!'..'~' && it !in "\"(),/:;<=>?@[\\]{}" }) throw IOException("no JWT")
            val plain = Socket()
            onSocket(WebSocket(plain))
            val port = if (uri.port >= 0) uri.port else if (isSecure) 443 else 80
            try {
                plain.soTimeout = timeoutMs
                plain.tcpNoDelay = true
                plain.connect(InetSocketAddress(uri.host, port), timeoutMs)
                return WebSocket(if (isSecure) secure(plain, uri.host, port) else plain).apply { shakeHands(uri, token) }
            } catch (error: IOException) {
                plain.close()
                throw error
            }
        }

        /** Adds TLS, and verifies that the certificate is the host's. */
        private fun secure(plain: Socket, host: String, port: Int): Socket {
            // As requests have it, so that an app's own trust is that of both.
            val socket = HttpsURLConnection.getDefaultSSLSocketFactory().createSocket(plain, host, port, true) as SSLSocket
            socket.sslParameters = socket.sslParameters.apply { endpointIdentificationAlgorithm = "HTTPS" }
            socket.startHandshake()
            return socket
        }
    }
}

private const val DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/** Encodes base64 without `java.util.Base64`, which Android has from version 8 on only. */
internal fun encodeBase64(bytes: ByteArray): String = buildString {
    for (at in bytes.indices step 3) {
        val bits = (0..2).fold(0) { bits, n -> (bits shl 8) or (bytes.getOrElse(at + n) { 0 }.toInt() and 0xff) }
        for (n in 0..3) append(if (at + n > bytes.size) '=' else DIGITS[(bits shr (18 - 6 * n)) and 0x3f])
    }
}
