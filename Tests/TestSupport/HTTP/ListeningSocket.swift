import Glibc
package import Posix

/// A listening socket that a server shares with the thread that accepts for it. Whoever still
/// accepts holds it open: its number is not given to another socket in the meantime.
package final class ListeningSocket: Sendable {
    private let descriptor: OwnedDescriptor
    package let port: UInt16

    /// Listens on a free port of 127.0.0.1.
    package init() throws(SystemError) {
        let opened = try Sockets.listen()
        port = try Sockets.port(of: opened)
        descriptor = opened
    }

    /// Waits for a connection; nil once the socket was stopped. accept(2).
    package func accept() -> OwnedDescriptor? {
        let connection = Glibc.accept(descriptor.raw, nil, nil)
        return connection < 0 ? nil : OwnedDescriptor(taking: connection)
    }

    /// Accepts no more, and wakes who waits. shutdown(2).
    package func stop() {
        shutdown(descriptor.raw, Int32(SHUT_RDWR))
    }
}
