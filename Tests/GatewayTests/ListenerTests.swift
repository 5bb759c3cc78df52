import Glibc
import Posix
import TestSupport
import Testing

@testable import Gateway

/// The socket to which the web server connects.
@Suite struct ListenerTests {
    @Test func onlyAddressesOfThisMachineAreLoopback() {
        for host in ["localhost", "::1", "[::1]", "127.0.0.1", "127.1.2.3"] {
            #expect(Listener.isLoopback(host), "\(host)")
        }
        for host in ["0.0.0.0", "::", "127.0.0.1.example.com", "127.example.com", "", "10.0.0.1"] {
            #expect(!Listener.isLoopback(host), "\(host)")
        }
    }

    @Test func staleSocketIsReplacedAndOneInUseIsNot() throws {
        let scratch = try TemporaryDirectory()
        let path = scratch.path + "/socket"
        do {
            _ = try Listener.open(.unix(path))
            #expect(access(path, F_OK) == 0)
        }
        let listener = try Listener.open(.unix(path))
        do {
            _ = try Listener.open(.unix(path))
            Issue.record("taken over")
        } catch {
            #expect(error.code == EADDRINUSE)
        }
        listener.removeSocket()
        #expect(access(path, F_OK) != 0)
        try Files.write([1], to: path)
        do {
            _ = try Listener.open(.unix(path))
            Issue.record("overwritten")
        } catch {
            #expect(error.code == EEXIST)
        }
        #expect(try Files.read(path) == [1])
    }

    // W3
    @Test func newSocketIsPrivateUntilItHasGroupAndMode() throws {
        let scratch = try TemporaryDirectory()
        func mode(_ path: String) throws -> mode_t {
            var status = stat()
            try check("stat", path) { stat(path, &status) }
            return status.st_mode & 0o7777
        }
        // As between the calls of bind(2) and listen(2).
        let socket = OwnedDescriptor(
            taking: try check("socket") { Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) })
        let bound = scratch.path + "/bound"
        try SocketAccess(mode: 0o666).restrict(socket)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bound.utf8) }
        try withUnsafePointer(to: &address) { pointer in
            _ = try check("bind", bound) {
                bind(
                    socket.raw, UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self),
                    socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(try mode(bound) & 0o077 == 0)

        for access in [SocketAccess(), SocketAccess(mode: 0o600), SocketAccess(mode: 0o666)] {
            let path = "\(scratch.path)/\(access.mode)"
            let listener = try Listener.open(.unix(path, access))
            #expect(try mode(path) == access.mode)
            listener.removeSocket()
        }
        #expect(SocketAccess.findGroup("root") == 0)
        #expect(SocketAccess.findGroup("123456") == 123456)
        for name in ["", "no such group", "-1", "4294967295", "1.5"] {
            #expect(SocketAccess.findGroup(name) == nil, "\(name)")
        }
    }
}
