import CCurl
import ObjectStore
import Posix

/// One request and its answer, while libcurl works on it. Used by one thread at a time.
final class Exchange {
    private(set) var request: HTTPRequest
    /// Finds a place for the body of a 2xx, once its head is there; nil: memory, or none is awaited.
    private let placing: Placing?
    private(set) var source: UploadSource?
    private var sink: DownloadSink?
    private var status = 0
    private var headers = HTTPHeaders()
    private var isHeadComplete = false
    private var errorBytes: [UInt8] = []
    /// Why we ourselves gave up.
    private var failure: StoreError?
    private var isCancelled = false
    private var outcome: Result<HTTPAnswer, StoreError>?

    /// Says where the body goes that a head announces, or why it is not taken.
    typealias Placing = (HTTPAnswer) throws(StoreError) -> DownloadSink

    init(_ request: HTTPRequest, placing: Placing? = nil) {
        self.request = request
        self.placing = placing
    }

    /// Lets the exchange fail as soon as libcurl moves another byte of it.
    func cancel() { isCancelled = true }

    /// The answer, or why there is none.
    func result() throws(StoreError) -> HTTPAnswer {
        guard let outcome else { preconditionFailure("the exchange has not ended") }
        return try outcome.get()
    }

    /// Opens what is to be sent, and completes the headers that tell its hash.
    func begin() throws(StoreError) {
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
            // An earlier copy had left whole, and the server may have it: nothing is known.
            if source?.hasSentAll == true {
                let cause = "sent again, it is no longer what was hashed before"
                return .unreachable(request.attempt, cause: cause)
            }
            guard let object = request.object, let body = request.body else {
                return .sourceChanged(request.attempt, reason: "it changed in memory")
            }
            let isPart = body.size < body.whole.size
            return .sourceChanged(of: body.whole, at: object, found: isPart ? nil : digest)
        }
    }

    /// Ends without having been sent.
    func end(_ error: StoreError) {
        outcome = .failure(error)
        source = nil
    }

    /// Ends as libcurl says.
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
            // To libcurl a connection that ends there ends the answer.
            outcome = .failure(.unreachable(request.attempt, cause: "the answer's head was cut"))
        } else if code == CURLE_OK, isSuccess, !isSentWhole {
            // libcurl is content where the server then closes.
            let cause = "a success came before all of the body was sent"
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

    /// A cut answer must not look complete. libcurl compares the length too; here it does not
    /// depend on libcurl's view of how the body was framed.
    private func checkLength(of answer: HTTPAnswer) -> Result<HTTPAnswer, StoreError> {
        let arrived = answer.received.size
        if let announced = headers["content-length"].flatMap(Int64.init) {
            guard announced == arrived else {
                let cause = "\(arrived) of \(announced) bytes came"
                return .failure(.unreachable(request.attempt, cause: cause))
            }
        } else if headers["transfer-encoding"] == nil {
            let reason = "an answer without Content-Length: its end cannot be told from a cut"
            return .failure(.nonConforming(request.attempt, reason: reason))
        }
        return .success(answer)
    }

    /// Takes down which software answered. Answers that the store itself does not give (5xx, and
    /// refusals by what stands in front of it) are left out.
    func note(in servers: ServerWatch) {
        guard case .success(let answer)? = outcome,
            (200...299).contains(answer.status) || [404, 412].contains(answer.status)
        else { return }
        servers.note(answer.headers["server"])
    }

    private var isSuccess: Bool { (200...299).contains(status) }

    private var awaitsBody: Bool { placing != nil || request.memoryLimit != nil }

    /// Whether it was only us who had read enough of an error's body.
    private func isErrorRead(_ code: CURLcode) -> Bool {
        code == CURLE_WRITE_ERROR && !isSuccess && errorBytes.count == ErrorBody.limit
    }
}

/// What libcurl's callbacks do.
extension Exchange {
    /// Takes a line of the head. A status line begins anew: 1xx answers come before the real one.
    func receive(headerLine line: UnsafeRawBufferPointer) {
        if line.starts(with: "HTTP/".utf8) {
            // `HTTP/1.1 200 OK`; what has no status is libcurl's to refuse.
            let words = line.split(separator: UInt8(ascii: " "))
            status =
                words.dropFirst().first
                .flatMap { Int(String(decoding: $0.prefix(3), as: UTF8.self)) } ?? 0
            headers = HTTPHeaders()
            isHeadComplete = false
        } else {
            headers.add(line: line)
        }
        // The end of the head: an answer without a body makes its file too.
        if line.count <= 2, status >= 200 {
            isHeadComplete = true
            if isSuccess, awaitsBody { _ = openSink() }
        }
    }

    /// Takes a piece of the body; false: no more of it.
    func receive(body chunk: UnsafeRawBufferPointer) -> Bool {
        if isCancelled { return false }
        guard isSuccess else {
            errorBytes.append(contentsOf: chunk.prefix(ErrorBody.limit - errorBytes.count))
            return errorBytes.count < ErrorBody.limit
        }
        // A PUT's or DELETE's 2xx may have a body; nobody asked for it.
        guard awaitsBody else { return true }
        guard let sink = openSink() else { return false }
        do {
            try sink.append(chunk)
            return true
        } catch {
            switch error {
            case .tooLarge(let limit): failure = tooLarge(limit: limit)
            case .pastTheEnd:
                failure = .nonConforming(request.attempt, reason: "more bytes than were asked for")
            case .system(let error): failure = .local(request.attempt, error)
            }
            return false
        }
    }

    /// Reads a piece of the body to send; nil: it cannot be read.
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
            return .nonConforming(request.attempt, reason: "an answer of more than \(limit) bytes")
        }
        return .tooLarge(object, limit: limit)
    }
}
