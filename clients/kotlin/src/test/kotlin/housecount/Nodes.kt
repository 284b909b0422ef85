package housecount

import java.io.File
import java.net.HttpURLConnection
import java.net.ServerSocket
import java.net.URL
import java.net.URLEncoder
import java.nio.file.Files
import java.security.KeyStore
import java.util.Base64
import java.util.concurrent.TimeUnit
import javax.crypto.Mac
import javax.crypto.spec.SecretKeySpec
import javax.net.ssl.SSLContext
import javax.net.ssl.SSLSocketFactory
import javax.net.ssl.TrustManagerFactory
import kotlin.test.assertTrue

/** Real nodes. clients/with-nodes starts those of the environment. */
internal object Nodes {
    private const val DEADLINE_S = 20L
    val url: String = System.getenv("CLIENTS_URL")
    val keyedUrl: String = System.getenv("CLIENTS_KEYED_URL")
    val key: String = System.getenv("CLIENTS_KEY")

    fun newStage(): String = "stage-${System.nanoTime()}"

    /** Returns once something holds. */
    fun until(what: String, holds: () -> Boolean) {
        val end = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE_S)
        while (!holds()) {
            assertTrue(System.nanoTime() < end, "$what did not come true within $DEADLINE_S s")
            Thread.sleep(50)
        }
    }

    /** Signs a viewer's token. Apps get theirs from a backend. */
    fun token(viewer: String, stage: String, ttlSeconds: Long, streams: Int = 100): String {
        val secret = System.getenv("CLIENTS_SECRET").removePrefix("secret:").toByteArray()
        val exp = System.currentTimeMillis() / 1_000 + ttlSeconds
        val base64 = Base64.getUrlEncoder().withoutPadding()
        val signed = listOf("""{"alg":"HS256"}""", """{"sub":"$viewer","stage":"$stage","streams":$streams,"exp":$exp}""")
            .joinToString(".") { base64.encodeToString(it.toByteArray()) }
        val mac = Mac.getInstance("HmacSHA256").apply { init(SecretKeySpec(secret, "HmacSHA256")) }
        return "$signed.${base64.encodeToString(mac.doFinal(signed.toByteArray()))}"
    }

    /** Asks an operator's call. */
    fun get(url: String, key: String? = null): Map<*, *> {
        val connection = URL(url).openConnection() as HttpURLConnection
        if (key != null) connection.setRequestProperty("x-api-key", key)
        return Json.parse(connection.inputStream.use { it.readBytes().decodeToString() }) as Map<*, *>
    }

    /** Returns the online sessions of a stage. */
    fun sessions(url: String, stage: String): List<String> {
        val viewers = get("$url/v1/stage/viewers?stage=${URLEncoder.encode(stage, "UTF-8")}")["viewers"] as List<*>
        return viewers.flatMap { (it as Map<*, *>)["sessions"] as List<*> }.map { it as String }
    }
}

/** A certificate for a name, such as `ip:127.0.0.1`, made by the JDK's keytool. */
internal class Certificate(name: String) : AutoCloseable {
    private val folder: File = Files.createTempDirectory("housecount").toFile()
    val cert = File(folder, "cert.pem")
    val key = File(folder, "key.pem")

    /** Trusts this certificate alone. */
    val trusting: SSLSocketFactory

    init {
        val file = File(folder, "store")
        val password = "password"
        val made = ProcessBuilder(
            "${System.getProperty("java.home")}/bin/keytool", "-genkeypair", "-alias", "node", "-keyalg", "RSA", "-dname", "CN=node",
            "-ext", "SAN=$name", "-validity", "2", "-storetype", "PKCS12", "-keystore", "$file", "-storepass", password,
        ).redirectErrorStream(true).start()
        val output = made.inputStream.readBytes().decodeToString()
        check(made.waitFor() == 0) { output }
        val store = KeyStore.getInstance(file, password.toCharArray())
        cert.writeText(pem("CERTIFICATE", store.getCertificate("node").encoded))
        key.writeText(pem("PRIVATE KEY", store.getKey("node", password.toCharArray()).encoded))
        val trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm())
        trust.init(KeyStore.getInstance("PKCS12").apply {
            load(null)
            setCertificateEntry("node", store.getCertificate("node"))
        })
        trusting = SSLContext.getInstance("TLS").apply { init(null, trust.trustManagers, null) }.socketFactory
    }

    private fun pem(what: String, bytes: ByteArray) =
        "-----BEGIN $what-----\n${Base64.getMimeEncoder().encodeToString(bytes)}\n-----END $what-----\n"

    override fun close() {
        folder.deleteRecursively()
    }
}

/** A node that a test starts, kills and starts again, at one address. */
internal class Node(private val certificate: Certificate? = null) : AutoCloseable {
    private val port = ServerSocket(0).use { it.localPort }
    private val data: File = Files.createTempDirectory("housecount").toFile()
    private var process: Process? = null
    val url = "${if (certificate == null) "http" else "https"}://127.0.0.1:$port"

    fun start() {
        val command = listOf(System.getenv("CLIENTS_BIN"), "serve", "--listen", "127.0.0.1:$port", "--data", "$data") +
            listOf("--set", "interval=1s", "--set", "ttl=4s") +
            (certificate?.let { listOf("--tls-cert", "${it.cert}", "--tls-key", "${it.key}") } ?: emptyList())
        process = ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start()
        Nodes.until("the start of a node") {
            try {
                (URL("$url/readyz").openConnection() as HttpURLConnection).responseCode == 200
            } catch (_: java.io.IOException) {
                false
            }
        }
    }

    fun kill() {
        process?.destroyForcibly()?.waitFor()
    }

    override fun close() {
        kill()
        data.deleteRecursively()
    }
}
