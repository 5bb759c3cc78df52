import CCurl
import ObjectStore
import Synchronization

/// The options that all transfers of a store share.
struct TransferOptions: Sendable {
    let connectTimeout: Duration
    let stallTimeout: Duration
    /// A file of CA certificates; nil for the system's.
    let authorities: String?
    /// The number of simultaneous transfers in one channel.
    var width = 8

    init(_ location: S3Location) {
        connectTimeout = location.connectTimeout
        stallTimeout = location.stallTimeout
        authorities = location.authorities
    }
}

extension CurlEasy {
    /// Sets the options that do not depend on the request. curl_easy_setopt(3).
    func apply(_ options: TransferOptions) {
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        set(CURLOPT_FOLLOWLOCATION, 0)
        // Without this libcurl would use http_proxy and the like.
        set(CURLOPT_PROXY, "")
        set(CURLOPT_SSL_VERIFYPEER, 1)
        set(CURLOPT_SSL_VERIFYHOST, 2)
        if let authorities = options.authorities {
            set(CURLOPT_CAINFO, authorities)
            // libcurl would otherwise also trust the system's directory of authorities.
            set(CURLOPT_CAPATH, pointer: nil)
        }
        set(CURLOPT_CONNECTTIMEOUT_MS, options.connectTimeout.milliseconds)
        // A transfer stalls if it has moved less than one byte a second for this long.
        set(CURLOPT_LOW_SPEED_LIMIT, 1)
        set(CURLOPT_LOW_SPEED_TIME, max(1, options.stallTimeout.milliseconds / 1000))
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_BUFFERSIZE, 1 << 18)
        set(CURLOPT_UPLOAD_BUFFERSIZE, 1 << 18)
    }

    /// Sets the options of a request. The exchange must outlive the transfer.
    func apply(_ exchange: Exchange, url: String) {
        set(CURLOPT_URL, url)
        // The path is signed exactly as it is sent.
        set(CURLOPT_PATH_AS_IS, 1)
        switch exchange.request.method {
        case .get: set(CURLOPT_HTTPGET, 1)
        case .head: set(CURLOPT_NOBODY, 1)
        case .delete: set(CURLOPT_CUSTOMREQUEST, "DELETE")
        case .put, .post:
            set(CURLOPT_UPLOAD, 1)
            set(CURLOPT_INFILESIZE_LARGE, offset: exchange.source?.size ?? 0)
            // libcurl sends an upload as a PUT unless told otherwise.
            if exchange.request.method == .post { set(CURLOPT_CUSTOMREQUEST, "POST") }
        }

        let context = Unmanaged.passUnretained(exchange).toOpaque()
        for option in [CURLOPT_HEADERDATA, CURLOPT_WRITEDATA, CURLOPT_READDATA, CURLOPT_SEEKDATA] {
            set(option, pointer: context)
        }
        set(CURLOPT_HEADERFUNCTION) { data, size, count, context in
            let line = UnsafeRawBufferPointer(start: data, count: size * count)
            currentExchange(context)?.receive(headerLine: line)
            return size * count
        }
        set(CURLOPT_WRITEFUNCTION) { data, size, count, context in
            let chunk = UnsafeRawBufferPointer(start: data, count: size * count)
            let isTaken = currentExchange(context)?.receive(body: chunk) == true
            return isTaken ? chunk.count : 0
        }
        set(CURLOPT_READFUNCTION) { data, size, count, context in
            let buffer = UnsafeMutableRawBufferPointer(start: data, count: size * count)
            return currentExchange(context)?.send(into: buffer) ?? Int(CURL_READFUNC_ABORT)
        }
        setSeek { context, offset, origin in
            guard origin == SEEK_SET, let source = currentExchange(context)?.source else {
                return CURL_SEEKFUNC_CANTSEEK
            }
            return source.seek(to: Int64(offset)) ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL
        }
    }
}

/// The server software that has answered a store's requests, recorded from any thread.
final class ServerWatch: Sendable {
    private let state = Mutex(ServerNames())

    var names: ServerNames { state.withLock { $0 } }

    /// - Parameter header: the answer's `Server`; nil if it had none.
    func note(_ header: String?) { state.withLock { $0.note(header) } }
}

/// The exchange in a callback's context.
private func currentExchange(_ context: UnsafeMutableRawPointer?) -> Exchange? {
    context.map { Unmanaged<Exchange>.fromOpaque($0).takeUnretainedValue() }
}

extension Duration {
    fileprivate var milliseconds: Int {
        Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000)
    }
}
