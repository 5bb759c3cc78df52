import Glibc
package import Posix

/// The socket to which the web server connects.
package struct Listener: ~Copyable, Sendable {
    let descriptor: OwnedDescriptor
    /// The path of a Unix socket that this process created, to be removed at the end.
    private let path: String?

    /// An address to listen on.
    package enum Address: Equatable, Sendable {
        /// A socket that is already listening, as descriptor 0: mod_fcgid, spawn-fcgi, systemd.
        case inherited
        case unix(String, SocketAccess = SocketAccess())
        case tcp(host: String, port: String)
    }

    private init(_ descriptor: consuming OwnedDescriptor, removing path: String?) {
        self.descriptor = descriptor
        self.path = path
    }

    /// Opens a listening socket. socket(7), unix(7), getaddrinfo(3).
    package static func open(_ address: Address) throws(SystemError) -> Listener {
        switch address {
        case .inherited:
            let copy = try check("fcntl", "descriptor 0") { fcntl(0, F_DUPFD_CLOEXEC, 3) }
            return try nonBlocking(OwnedDescriptor(taking: copy))
        case .unix(let path, let access):
            return try nonBlocking(listen(onUnix: path, access), removing: path)
        case .tcp(let host, let port):
            return try nonBlocking(listen(onHost: host, port: port))
        }
    }

    /// Several workers wait for a connection, and only one of them gets it.
    private static func nonBlocking(
        _ socket: consuming OwnedDescriptor, removing path: String? = nil
    ) throws(SystemError) -> Listener {
        let raw = socket.raw
        let flags = try check("fcntl") { fcntl(raw, F_GETFL) }
        _ = try check("fcntl") { fcntl(raw, F_SETFL, flags | O_NONBLOCK) }
        return Listener(socket, removing: path)
    }

    /// Whether descriptor 0 is a listening socket, which distinguishes FastCGI from CGI. socket(7),
    /// SO_ACCEPTCONN.
    package static var isInherited: Bool {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(0, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value != 0
    }

    /// Whether an address is a loopback address.
    package static func isLoopback(_ host: String) -> Bool {
        if ["localhost", "::1", "[::1]"].contains(host) { return true }
        // A host name can begin with '127.', too.
        var address = in_addr()
        return inet_pton(AF_INET, host, &address) == 1 && host.hasPrefix("127.")
    }

    /// Removes the Unix socket that this process created.
    package func removeSocket() {
        if let path { _ = unlink(path) }
    }

    private static let backlog: Int32 = 1024

    private static func listen(
        onUnix path: String, _ access: SocketAccess
    ) throws(SystemError) -> OwnedDescriptor {
        var address = sockaddr_un()
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity else {
            throw SystemError("bind", path, code: ENAMETOOLONG)
        }
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let socket = try Self.socket(AF_UNIX)
        try removeStale(path, &address)
        try access.restrict(socket)
        try withUnsafePointer(to: &address) { (pointer) throws(SystemError) in
            let general = UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self)
            _ = try check("bind", path) {
                bind(socket.raw, general, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try access.apply(to: path)
        _ = try check("listen", path) { Glibc.listen(socket.raw, backlog) }
        return socket
    }

    /// Removes a socket that nobody listens on; one that is in use is EADDRINUSE.
    private static func removeStale(
        _ path: String, _ address: inout sockaddr_un
    ) throws(SystemError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw SystemError("bind", path, code: EEXIST)
        }
        let probe = try Self.socket(AF_UNIX)
        let connected = withUnsafePointer(to: &address) { pointer in
            connect(
                probe.raw, UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self),
                socklen_t(MemoryLayout<sockaddr_un>.size))
        }
        // Only ECONNREFUSED proves that nobody listens; a full backlog or missing permission does
        // not.
        guard connected != 0, errno == ECONNREFUSED else {
            throw SystemError("bind", path, code: EADDRINUSE)
        }
        _ = unlink(path)
    }

    private static func listen(
        onHost host: String, port: String
    ) throws(SystemError) -> OwnedDescriptor {
        var hints = addrinfo()
        hints.ai_flags = AI_PASSIVE
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        guard getaddrinfo(bare, port, &hints, &found) == 0, let address = found else {
            throw SystemError("getaddrinfo", "\(host):\(port)", code: EADDRNOTAVAIL)
        }
        defer { freeaddrinfo(found) }

        let socket = try Self.socket(address.pointee.ai_family)
        var one: Int32 = 1
        setsockopt(
            socket.raw, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        let (name, size) = (address.pointee.ai_addr, address.pointee.ai_addrlen)
        _ = try check("bind", "\(host):\(port)") { bind(socket.raw, name, size) }
        _ = try check("listen", "\(host):\(port)") { Glibc.listen(socket.raw, backlog) }
        return socket
    }

    private static func socket(_ family: Int32) throws(SystemError) -> OwnedDescriptor {
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        return OwnedDescriptor(taking: try check("socket") { Glibc.socket(family, kind, 0) })
    }
}
