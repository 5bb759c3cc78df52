import Bytes
import CCurl
import ObjectStore
import Posix

/// A request and its answer while libcurl transfers them. One thread uses it at a time.
final class Exchange {
    private(set) var request: HTTPRequest
    /// Chooses a place for the body of a 2xx once its head has arrived; nil for memory, or if no
    /// body is expected.
    private let placing: Placing?
    private(set) var source: UploadSource?
    private var sink: DownloadSink?
    private var status = 0
    private var headers = HTTPHeaders()
    private var isHeadComplete = false
    private var errorBytes: [UInt8] = []
    /// Why we aborted the exchange ourselves.
    private var failure: StoreError?
    private var isCancelled = false
    private var hasBegun = false
    private var outcome: Result<HTTPAnswer, StoreError>?

    /// Chooses the place of the body that a head announces, or refuses the body.
    typealias Placing = (HTTPAnswer) throws(StoreError) -> DownloadSink

    init(_ request: HTTPRequest, placing: Placing? = nil) {
        self.request = request
        self.placing = placing
    }

    /// Makes the exchange fail as soon as libcurl transfers another byte of it.
    func cancel() { isCancelled = true }

    /// The answer, or the reason that there is none.
    func result() throws(StoreError) -> HTTPAnswer {
        guard let outcome else { preconditionFailure("the exchange has not ended") }
        return try outcome.get()
    }

    /// Opens the body to send, and completes the headers that contain its hash.
    func begin() throws(StoreError) {
        hasBegun = true
        guard var body = request.body else { return }
        do {
            if request.md5 == .sent {
                if body.md5 == nil { body.md5 = try body.readMD5() }
                request.body = body
                if let md5 = body.md5 {
                    request.headers.append(("content-md5", Base64.encode(md5)))
                }
            }
        } catch {
            throw .local(request.attempt, error)
        }
        do {
            source = try UploadSource(body, takesMD5: request.md5 == .compared)
        } catch {
            throw sourceFailure(error)
        }
    }

    private func sourceFailure(_ failure: UploadSource.Failure) -> StoreError {
        switch failure {
        case .system(let error):
            var attempt = request.attempt
            attempt.wasResent = source?.wasRewound == true
            return .local(attempt, error)
        case .changed(let digest):
            // The outcome is unknown: an earlier copy was sent completely, and the server may have
            // it.
            if source?.hasSentAll == true {
                let cause = "it changed before it was sent again"
                return .unreachable(request.attempt, cause: cause)
            }
            guard let object = request.object, let body = request.body else {
                return .sourceChanged(request.attempt, reason: "it changed in memory")
            }
            let isPart = body.size < body.whole.size
            return .sourceChanged(of: body.whole, at: object, found: isPart ? nil : digest)
        }
    }

    /// Ends the exchange without sending it.
    func end(_ error: StoreError) {
        outcome = .failure(error)
        source = nil
    }

    /// Ends the exchange with libcurl's result.
    func end(_ code: CURLcode, explanation: @autoclosure () -> String) {
        let body = sink?.finish()
        let sentMD5 = request.md5 == .sent ? request.body?.md5 : source?.md5
        let wasResent = source?.wasRewound == true
        let isSentWhole = source?.isAtEnd != false
        source = nil
        sink = nil
        if let failure {
            outcome = .failure(failure)
        } else if code == CURLE_OK, !isHeadComplete {
            // For libcurl, a connection that ends there ends the answer.
            outcome = .failure(
                .unreachable(
                    request.attempt,
                    cause: "the response headers were truncated"))
        } else if code == CURLE_OK, isSuccess, !isSentWhole {
            // libcurl accepts this if the server then closes the connection.
            let cause = "a success was reported before the whole body was sent"
            outcome = .failure(.unreachable(request.attempt, cause: cause))
        } else if code == CURLE_OK || isErrorRead(code) {
            outcome = complete(body, sentMD5).map { answer in
                var answer = answer
                answer.wasResent = wasResent
                return answer
            }
        } else {
            outcome = .failure(.unreachable(request.attempt, cause: explanation()))
        }
    }

    private func complete(
        _ body: HTTPAnswer.Received?, _ sentMD5: [UInt8]?
    ) -> Result<HTTPAnswer, StoreError> {
        var answer = HTTPAnswer(status: status, headers: headers)
        answer.sentMD5 = sentMD5
        guard isSuccess else {
            answer.error = ErrorBody(errorBytes)
            return .success(answer)
        }
        if let body { answer.received = body }
        guard awaitsBody else { return .success(answer) }
        return checkLength(of: answer)
    }

    /// Checks that an answer is not truncated. libcurl compares the length too, but depending on
    /// its view of how the body was framed.
    private func checkLength(of answer: HTTPAnswer) -> Result<HTTPAnswer, StoreError> {
        let arrived = answer.received.size
        if let announced = headers["content-length"].flatMap(Int64.init) {
            guard announced == arrived else {
                let cause = "\(arrived) of \(announced) bytes arrived"
                return .failure(.unreachable(request.attempt, cause: cause))
            }
        } else if headers["transfer-encoding"] == nil {
            let reason = "a response without Content-Length, whose truncation could not be detected"
            return .failure(.nonConforming(request.attempt, reason: reason))
        }
        return .success(answer)
    }

    /// Records the server software that answered, except for answers that may not be the store's
    /// own (5xx, and refusals by a proxy in front of it).
    func note(in servers: ServerWatch) {
        guard case .success(let answer)? = outcome,
            (200...299).contains(answer.status) || [404, 412].contains(answer.status)
        else { return }
        servers.note(answer.headers["server"])
    }

    private var isSuccess: Bool { (200...299).contains(status) }

    private var awaitsBody: Bool { placing != nil || request.memoryLimit != nil }

    /// Whether the transfer ended only because we had read enough of an error's body.
    private func isErrorRead(_ code: CURLcode) -> Bool {
        code == CURLE_WRITE_ERROR && !isSuccess && errorBytes.count == ErrorBody.limit
    }
}

/// An exchange by itself is a transfer, too.
extension Exchange: Transfer {
    func next() -> NextStep {
        if outcome != nil { return .done }
        return hasBegun ? .idle : .begin(self)
    }

    func ended(_ exchange: Exchange) {}
}

// libcurl's callbacks.
extension Exchange {
    /// Receives a line of the head. A status line starts a new head: 1xx answers precede the real
    /// one.
    func receive(headerLine line: UnsafeRawBufferPointer) {
        if line.starts(with: "HTTP/".utf8) {
            // `HTTP/1.1 200 OK`. libcurl refuses a line without a status.
            let words = line.split(separator: UInt8(ascii: " "))
            status =
                words.dropFirst().first
                .flatMap { Int(String(decoding: $0.prefix(3), as: UTF8.self)) } ?? 0
            headers = HTTPHeaders()
            isHeadComplete = false
        } else {
            headers.add(line: line)
        }
        // At the end of the head even an answer without a body creates its file.
        if line.count <= 2, status >= 200 {
            isHeadComplete = true
            if isSuccess, awaitsBody { _ = openSink() }
        }
    }

    /// Receives a piece of the body.
    ///
    /// - Returns: false to end the transfer.
    func receive(body chunk: UnsafeRawBufferPointer) -> Bool {
        if isCancelled { return false }
        guard isSuccess else {
            errorBytes.append(contentsOf: chunk.prefix(ErrorBody.limit - errorBytes.count))
            return errorBytes.count < ErrorBody.limit
        }
        // The 2xx of a PUT or DELETE may have a body, which nobody needs.
        guard awaitsBody else { return true }
        guard let sink = openSink() else { return false }
        do {
            try sink.append(chunk)
            return true
        } catch {
            switch error {
            case .tooLarge(let limit): failure = tooLarge(limit: limit)
            case .pastTheEnd:
                failure = .nonConforming(request.attempt, reason: "more bytes than requested")
            case .system(let error): failure = .local(request.attempt, error)
            }
            return false
        }
    }

    /// Reads a piece of the body to send; nil if it cannot be read.
    func send(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
        if isCancelled { return nil }
        do {
            return try source?.read(into: buffer) ?? 0
        } catch {
            failure = sourceFailure(error)
            return nil
        }
    }

    private func openSink() -> DownloadSink? {
        if let sink { return sink }
        guard failure == nil else { return nil }
        do {
            let opened =
                try placing?(HTTPAnswer(status: status, headers: headers))
                ?? DownloadSink(.memory(limit: request.memoryLimit ?? 0), .onTheWay)
            sink = opened
            return opened
        } catch {
            failure = error
            return nil
        }
    }

    private func tooLarge(limit: Int) -> StoreError {
        guard let object = request.object else {
            return .nonConforming(request.attempt, reason: "a response of more than \(limit) bytes")
        }
        return .tooLarge(object, limit: limit)
    }
}
