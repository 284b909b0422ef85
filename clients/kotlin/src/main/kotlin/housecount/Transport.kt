package housecount

import java.io.IOException
import java.io.InputStream
import java.net.HttpURLConnection
import java.net.URL

/** Bytes of an answer that are read. A node's answers to heartbeats have less than a thousand. */
private const val ANSWER_BYTES_MAX = 65_536

/** An HTTP answer. */
public class HttpAnswer(public val status: Int, public val retryAfter: String?, public val body: String)

/** A POST that may be given up. */
public interface HttpCall {
    /**
     * Sends the request and reads the answer. Called once, in a thread of its own.
     *
     * @throws IOException no answer came
     */
    @Throws(IOException::class)
    public fun run(): HttpAnswer

    /** Gives it up. May be called in any thread, at any time. */
    public fun cancel()
}

/** HTTP client, for apps that have an HTTP client of their own, such as OkHttp. */
public fun interface Transport {
    /** Prepares a POST of a JSON text. */
    public fun post(url: String, body: String, headers: Map<String, String>, timeoutMs: Int): HttpCall
}

/** The HTTP client that the JVM and Android bring. */
internal object UrlConnectionTransport : Transport {
    override fun post(url: String, body: String, headers: Map<String, String>, timeoutMs: Int): HttpCall = object : HttpCall {
        @Volatile
        private var connection: HttpURLConnection? = null

        @Volatile
        private var isCancelled = false

        override fun run(): HttpAnswer {
            val mine = URL(url).openConnection() as HttpURLConnection
            connection = mine
            if (isCancelled) throw IOException("given up")
            mine.requestMethod = "POST"
            mine.connectTimeout = timeoutMs
            mine.readTimeout = timeoutMs
            mine.useCaches = false
            mine.doOutput = true
            for ((name, value) in headers) mine.setRequestProperty(name, value)
            val bytes = body.toByteArray()
            mine.setFixedLengthStreamingMode(bytes.size)
            mine.outputStream.use { it.write(bytes) }
            val status = mine.responseCode
            val stream: InputStream? = if (status < 400) mine.inputStream else mine.errorStream
            return HttpAnswer(status, mine.getHeaderField("retry-after"), stream?.use(::read) ?: "")
        }

        override fun cancel() {
            isCancelled = true
            connection?.disconnect()
        }
    }

    private fun read(stream: InputStream): String {
        val bytes = ByteArray(ANSWER_BYTES_MAX)
        var size = 0
        while (size < bytes.size) {
            val read = stream.read(bytes, size, bytes.size - size)
            if (read < 0) break
            size += read
        }
        return String(bytes, 0, size)
    }
}
