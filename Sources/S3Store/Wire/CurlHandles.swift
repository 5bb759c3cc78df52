import CCurl
import Synchronization

/// libcurl's global state, which is created once and never released. curl_global_init(3).
private let curlIsReady = curl_global_init(gs3_global_default()) == CURLE_OK

/// An easy handle: it performs one transfer at a time, and many in its life. libcurl-easy(3).
struct CurlEasy: ~Copyable {
    let raw: UnsafeMutableRawPointer
    /// The buffer for libcurl's error message.
    private let errorText: UnsafeMutablePointer<CChar>

    init() {
        // This fails only without memory, or with a broken libcurl. The program cannot continue
        // then.
        guard curlIsReady, let raw = curl_easy_init() else {
            preconditionFailure("libcurl does not initialise")
        }
        self.raw = raw
        errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        curl_easy_cleanup(raw)
        errorText.deallocate()
    }

    /// Resets all options. Connections belong to the multi handle and stay open.
    /// curl_easy_reset(3).
    func reset() {
        curl_easy_reset(raw)
        errorText[0] = 0
        set(CURLOPT_ERRORBUFFER, pointer: errorText)
    }

    /// Sets a numeric option. This fails only if this libcurl does not know the option.
    func set(_ option: CURLoption, _ value: Int) {
        require(gs3_setopt_long(raw, option, value), option)
    }

    func set(_ option: CURLoption, offset value: Int64) {
        require(gs3_setopt_offset(raw, option, curl_off_t(value)), option)
    }

    func set(_ option: CURLoption, _ value: String) {
        require(gs3_setopt_string(raw, option, value), option)
    }

    func set(_ option: CURLoption, pointer: UnsafeMutableRawPointer?) {
        require(gs3_setopt_pointer(raw, option, pointer), option)
    }

    func set(_ option: CURLoption, _ callback: gs3_data_callback) {
        require(gs3_setopt_callback(raw, option, callback), option)
    }

    func setSeek(_ callback: gs3_seek_callback) {
        require(gs3_setopt_seek(raw, callback), CURLOPT_SEEKFUNCTION)
    }

    func set(headers: borrowing CurlHeaders) {
        require(gs3_setopt_list(raw, CURLOPT_HTTPHEADER, headers.first), CURLOPT_HTTPHEADER)
    }

    /// The error message of the transfer; without one, that of the code.
    func explain(_ code: CURLcode) -> String {
        errorText[0] == 0
            ? String(cString: curl_easy_strerror(code)) : String(cString: errorText)
    }

    private func require(_ code: CURLcode, _ option: CURLoption) {
        precondition(code == CURLE_OK, "libcurl refuses option \(option.rawValue)")
    }
}

/// A list of header lines. curl_slist_append(3).
struct CurlHeaders: ~Copyable {
    private(set) var first: UnsafeMutablePointer<curl_slist>?

    init(_ lines: [String]) {
        for line in lines {
            guard let longer = curl_slist_append(first, line) else {
                preconditionFailure("out of memory")
            }
            first = longer
        }
    }

    deinit {
        curl_slist_free_all(first)
    }
}

/// A multi handle: it performs transfers in parallel in one thread, and keeps their connections.
/// libcurl-multi(3).
struct CurlMulti: ~Copyable {
    private let raw: UnsafeMutableRawPointer

    /// - Parameter connections: the number of connections that are kept open.
    init(connections: Int) {
        guard curlIsReady, let raw = curl_multi_init() else {
            preconditionFailure("libcurl does not initialise")
        }
        self.raw = raw
        require(gs3_multi_setopt_long(raw, CURLMOPT_MAXCONNECTS, connections))
    }

    deinit {
        curl_multi_cleanup(raw)
    }

    func add(_ easy: borrowing CurlEasy) { require(curl_multi_add_handle(raw, easy.raw)) }

    func remove(_ easy: borrowing CurlEasy) { require(curl_multi_remove_handle(raw, easy.raw)) }

    /// Advances every transfer as far as possible without waiting. curl_multi_perform(3).
    func perform() {
        var running: Int32 = 0
        require(curl_multi_perform(raw, &running))
    }

    /// Waits until a transfer can continue, for at most `milliseconds`. curl_multi_poll(3).
    func wait(atMost milliseconds: Int32) {
        require(curl_multi_poll(raw, nil, 0, milliseconds, nil))
    }

    /// Returns the next transfer that has ended, and its result. curl_multi_info_read(3).
    func nextEnded() -> (easy: UnsafeMutableRawPointer, code: CURLcode)? {
        var left: Int32 = 0
        while let message = curl_multi_info_read(raw, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle else {
                continue
            }
            return (easy, message.pointee.data.result)
        }
        return nil
    }

    /// Traps on an error: multi functions fail only if they are misused, or without memory.
    private func require(_ code: CURLMcode) {
        precondition(code == CURLM_OK, "libcurl: \(String(cString: curl_multi_strerror(code)))")
    }
}
