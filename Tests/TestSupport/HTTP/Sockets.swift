import Glibc
package import Posix

/// Blocking sockets, for clients and servers of tests.
package enum Sockets {
    /// Connects to a port of 127.0.0.1. connect(2).
    package static func connect(port: UInt16) throws(SystemError) -> OwnedDescriptor {
        let socket = try make(AF_INET)
        var address = loopback(port)
        try check("connect", "127.0.0.1:\(port)") {
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(socket.raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        return socket
    }

    /// Connects to a Unix socket. connect(2).
    package static func connect(path: String) throws(SystemError) -> OwnedDescriptor {
        let socket = try make(AF_UNIX)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemError("connect", path, code: ENAMETOOLONG)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        try check("connect", path) {
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(socket.raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
        return socket
    }

    /// Listens on a free port of 127.0.0.1.
    package static func listen() throws(SystemError) -> OwnedDescriptor {
        let socket = try bound(to: 0)
        try check("listen") { Glibc.listen(socket.raw, 128) }
        return socket
    }

    /// The port that a socket is bound to. getsockname(2).
    package static func port(of socket: borrowing OwnedDescriptor) throws(SystemError) -> UInt16 {
        let raw = socket.raw
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        try check("getsockname") {
            withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    getsockname(raw, $0, &size)
                }
            }
        }
        return UInt16(bigEndian: address.sin_port)
    }

    /// Ports of 127.0.0.1 that are free now, for a server that cannot choose its own. They are below
    /// the range from which outgoing connections take theirs, so that none of those gets in between.
    package static func freePorts(_ count: Int) throws(SystemError) -> [UInt16] {
        var ports: Set<UInt16> = []
        for _ in 0..<10_000 {
            if ports.count == count { return ports.sorted() }
            let port = UInt16.random(in: 12_000..<32_000)
            if (try? bound(to: port)) != nil { ports.insert(port) }
        }
        throw SystemError("bind", "127.0.0.1", code: EADDRINUSE)
    }

    /// Sends all of the bytes, without SIGPIPE. send(2).
    package static func send(_ socket: Int32, _ bytes: [UInt8]) throws(SystemError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = try check("send") {
                rest.withUnsafeBytes {
                    Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
            }
            rest = rest.dropFirst(sent)
        }
    }

    private static func make(_ family: Int32) throws(SystemError) -> OwnedDescriptor {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        return OwnedDescriptor(taking: try check("socket") { socket(family, type, 0) })
    }

    /// A socket with an address of 127.0.0.1. bind(2).
    private static func bound(to port: UInt16) throws(SystemError) -> OwnedDescriptor {
        let socket = try make(AF_INET)
        var address = loopback(port)
        try check("bind", "127.0.0.1:\(port)") {
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(socket.raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        return socket
    }

    private static func loopback(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        return address
    }
}
