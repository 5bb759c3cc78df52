import CSystem
import Glibc

extension OwnedDescriptor {
    /// Accepts a connection that is closed in children. accept4(2), `SOCK_CLOEXEC`.
    package static func accept(on listener: Int32) throws(SystemError) -> OwnedDescriptor {
        let raw = gs3_accept(listener)
        if raw < 0 { throw SystemError("accept4") }
        return OwnedDescriptor(taking: raw)
    }
}

/// Events of poll(2) that Glibc's module does not export.
package enum PollEvents {
    /// The peer has closed its end, or its writing half. `POLLRDHUP`.
    package static var hangup: Int16 { gs3_poll_hangup() }
}
