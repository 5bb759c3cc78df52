import Glibc

/// A failed system call: its name, its subject, and the error number. errno(3).
package struct SystemError: Error, Sendable, CustomStringConvertible {
    package let call: String
    package let subject: String
    package let code: Int32

    package init(_ call: String, _ subject: String = "", code: Int32? = nil) {
        self.call = call
        self.subject = subject
        self.code = code ?? errno
    }

    package var description: String {
        let place = subject.isEmpty ? "" : " '\(subject)'"
        return "\(call)\(place): \(String(cString: strerror(code)))"
    }
}

extension SystemError {
    /// Whether a disk is full, or the user's part of it.
    package var isFullDisk: Bool { code == ENOSPC || code == EDQUOT }
}

/// Turns -1 into a ``SystemError`` and restarts the call on EINTR.
@discardableResult
package func check<Value: SignedInteger>(
    _ call: String, _ subject: @autoclosure () -> String = "", _ body: () -> Value
) throws(SystemError) -> Value {
    while true {
        let value = body()
        if value != -1 { return value }
        let code = errno
        if code == EINTR { continue }
        throw SystemError(call, subject(), code: code)
    }
}
