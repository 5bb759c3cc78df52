import Cache
import Posix
import Synchronization

/// An answer that a thread sends at the client's speed while git writes it into a spool.
///
/// Used by the thread that serves the request, until ``finish()`` or ``abort()`` returns.
final class SpooledAnswer: @unchecked Sendable {
    private let spool: Spool
    private let response: Response
    private let type: String
    private let thread = ThreadGroup()
    /// The error that ended the sending early.
    private let failure = Mutex<(any Error)?>(nil)

    /// Starts to send bytes as they are added; the head is sent with the first ones.
    init(_ response: Response, type: String, through space: SpoolSpace) throws(SystemError) {
        self.response = response
        self.type = type
        spool = Spool(in: space)
        try thread.start(stackBytes: 1 << 18) { [self] in send() }
    }

    /// Adds bytes of the answer.
    ///
    /// - Parameter wait: runs its argument, which waits for the client, because there is no room.
    /// - Throws: the reason why the client can get no more, or ``SystemError``.
    func append(
        _ bytes: UnsafeRawBufferPointer, wait: (() -> Void) throws -> Void
    ) throws {
        do {
            try spool.append(bytes, wait: wait)
        } catch is Spool.Abandoned {
            throw failure.withLock { $0 } ?? RequestError.disconnected
        }
    }

    /// Waits until the client has everything.
    ///
    /// - Throws: the reason why the client cannot get everything.
    func finish() throws {
        spool.finish()
        thread.join()
        if let error = failure.withLock({ $0 }) { throw error }
    }

    /// Stops sending.
    func abort() {
        spool.abandon()
        thread.join()
    }

    private func send() {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        do {
            while true {
                let count = try buffer.withUnsafeMutableBytes { try spool.read(into: $0) }
                if count == 0 { return }
                if !response.hasBegun { try response.begin(type: type) }
                try buffer.withUnsafeBytes {
                    try response.write(UnsafeRawBufferPointer(rebasing: $0[..<count]))
                }
            }
        } catch {
            failure.withLock { $0 = error }
            spool.abandon()
        }
    }
}
