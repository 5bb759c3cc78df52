import ObjectStore

/// What the answer to CompleteMultipartUpload says.
enum CompletionAnswer {
    case done
    /// It may have happened, or not.
    case doubtful(Doubt)
    /// The condition failed, or another writer was at work; the error is for an upload that had
    /// no condition.
    case refused(StoreAnswer.Refusal, StoreError)
    /// The backend does not take the condition.
    case notImplemented(StoreError)
    case failed(StoreError)
}

/// Why it is not known whether an upload is completed.
enum Doubt {
    /// There was no complete answer: the backend may be at work on it still.
    case unanswered(StoreError)
    /// The answer is one that may follow what was done.
    case answered(StoreError)
    /// There is no such upload: it was completed by a request whose answer we did not get, or it
    /// was taken away.
    case gone(StoreError)
}

extension Classification {
    /// The answer to CompleteMultipartUpload. S3 sends a 200 before it is at an end, so that the
    /// body alone says how that was.
    func completion(_ answer: HTTPAnswer, of object: ObjectKey) -> CompletionAnswer {
        let attempt = StoreError.Attempt(.put, object.path)
        var answer = answer
        if isSuccess(answer) {
            let leaves = xmlLeaves(of: answer.received.bytes) ?? []
            answer.error = ErrorBody(answer.received.bytes)
            if leaves.contains(where: { $0.path.hasPrefix("/CompleteMultipartUploadResult/") }) {
                return .done
            }
            answer = HTTPAnswer(status: Self.status(of: answer.error.code), answer.error)
        }
        let error = error(attempt, answer)
        switch answer.status {
        case 412: return .refused(.conditionFailed, error)
        case 409 where answer.error.code != "OperationAborted": return .refused(.conflict, error)
        case 404 where answer.error.code == "NoSuchUpload":
            // Who repeats the PUT begins a new one.
            return .doubtful(.gone(.unavailable(attempt, answer.asError)))
        case 501: return .notImplemented(error)
        default: return error.isTransient ? .doubtful(.answered(error)) : .failed(error)
        }
    }

    /// The status that a code has when it comes before the head was sent. What is not known, or not
    /// even an error, may have happened after it was done.
    private static func status(of code: String) -> Int {
        switch code {
        case "PreconditionFailed": 412
        case "ConditionalRequestConflict": 409
        case "NoSuchUpload": 404
        case "NotImplemented": 501
        case "InvalidPart", "InvalidPartOrder", "EntityTooSmall": 400
        default: 500
        }
    }
}

extension HTTPAnswer {
    /// An answer that says no more than that.
    fileprivate init(status: Int, _ error: ErrorBody) {
        self.init(status: status, headers: HTTPHeaders())
        self.error = error
    }
}
