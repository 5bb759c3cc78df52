import Git
import GitProtocol
import Glibc
import ObjectStore
import Posix
import Push
import Repository
import Testing

@testable import Gateway

/// The table of errors.
@Suite struct ErrorTableTests {
    private static let secret = "s3cret/key/path"

    private func expect(
        _ error: any Error, _ status: Int, _ severity: ErrorAnswer.Severity,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let answer = ErrorTable.answer(to: error)
        #expect(answer.status == status, sourceLocation: sourceLocation)
        #expect(answer.severity == severity, sourceLocation: sourceLocation)
        #expect(!answer.text.isEmpty, sourceLocation: sourceLocation)
        #expect(!answer.text.contains("s3cret"), sourceLocation: sourceLocation)
        #expect(
            answer.headers.contains("Retry-After: 10") == (status == 503),
            sourceLocation: sourceLocation)
        #expect(!answer.text.contains("\n"), sourceLocation: sourceLocation)
    }

    @Test func clientErrorsHaveTheirStatus() {
        expect(RequestError.notFound, 404, .refused)
        expect(RequestError.dumbProtocol, 403, .refused)
        expect(RequestError.unknownService, 403, .refused)
        expect(RequestError.notAllowed("no"), 403, .refused)
        expect(RequestError.wrongMethod(allowed: ["POST"]), 405, .refused)
        expect(RequestError.wrongContentType(expected: "x"), 415, .refused)
        expect(RequestError.unknownEncoding("br"), 415, .refused)
        expect(RequestError.bodyTooLarge(limit: 1), 413, .refused)
        expect(RequestError.badContentLength("x"), 400, .refused)
        expect(RequestError.bodyCut, 400, .refused)
        expect(RequestError.badGzip("x"), 400, .refused)
        expect(RequestError.disconnected, 400, .refused)
        expect(RequestError.bodyTooSlow, 408, .refused)
        expect(RequestError.pushLost, 409, .refused)
        expect(GitError.busy, 503, .refused)
        expect(ProtocolError.truncated("x"), 400, .refused)
        expect(ProtocolError.badPktLine("x"), 400, .refused)
        expect(ProtocolError.badCommand("x"), 400, .refused)
        expect(ProtocolError.tooLarge("x"), 413, .refused)
    }

    @Test func serverErrorsHideTheStore() throws {
        let name = try #require(RepositoryName("owner/s3cret"))
        let key = ObjectKey.pointer(of: name)
        let attempt = StoreError.Attempt(.get, Self.secret)
        let answer = StoreError.Answer(status: 500, code: Self.secret)
        let system = SystemError("open", Self.secret, code: 5)
        expect(ProtocolError.badReport(Self.secret), 500, .failed)
        expect(StoreError.unreachable(attempt, cause: Self.secret), 503, .failed)
        expect(StoreError.unavailable(attempt, answer), 503, .failed)
        expect(StoreError.undetermined(key, reason: Self.secret), 503, .failed)
        expect(StoreError.missing(key), 500, .failed)
        expect(StoreError.corrupt(key, reason: Self.secret), 500, .failed)
        expect(StoreError.altered(key, reason: Self.secret), 500, .failed)
        expect(StoreError.sourceChanged(attempt, reason: Self.secret), 500, .failed)
        expect(StoreError.notAdmitted(reason: Self.secret), 503, .failed)
        expect(StoreError.tooLarge(key, limit: 1), 500, .failed)
        expect(StoreError.denied(attempt, answer), 500, .failed)
        expect(StoreError.rejected(attempt, answer), 500, .failed)
        expect(StoreError.nonConforming(attempt, reason: Self.secret), 500, .failed)
        expect(StoreError.misconfigured(Self.secret), 500, .failed)
        expect(StoreError.local(attempt, system), 500, .failed)
        expect(RepositoryError.damaged(name, reason: Self.secret), 500, .failed)
        expect(GitError.failed(step: Self.secret, reason: Self.secret), 500, .failed)
        expect(system, 500, .failed)
        expect(SystemError("write", Self.secret, code: ENOSPC), 503, .failed)
        expect(RepositoryError.unpublishable(reason: Self.secret), 500, .failed)
        expect(PushError.unproven(Self.secret), 500, .failed)
        expect(GitError.unsafeRef(Self.secret), 500, .failed)
        expect(GitError.timedOut(step: Self.secret), 504, .failed)
        expect(GitError.clientGone, 400, .refused)
        expect(GitError.badBody(RequestError.bodyCut), 400, .refused)
        expect(GitError.badBody(RequestError.bodyTooLarge(limit: 1)), 413, .refused)
        expect(GitError.badBody(ProtocolError.truncated("x")), 400, .refused)
        struct Unknown: Error { let text = ErrorTableTests.secret }
        expect(Unknown(), 500, .failed)
        expect(GitError.badBody(Unknown()), 500, .failed)
    }

    @Test func onlyACertainFailureSaysThatNothingChanged() throws {
        let name = try #require(RepositoryName("owner/repo"))
        let key = ObjectKey.pointer(of: name)
        let text = ErrorTable.answer(to: StoreError.undetermined(key, reason: "")).text
        #expect(text.contains("may have been applied") && !text.contains("Nothing has changed"))
    }
}
