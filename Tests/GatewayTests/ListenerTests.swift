import Glibc
import Posix
import TestSupport
import Testing

@testable import Gateway

@Suite("Where the web server connects")
struct ListenerTests {
    @Test("only addresses of this machine are loopback")
    func loopback() {
        for host in ["localhost", "::1", "[::1]", "127.0.0.1", "127.1.2.3"] {
            #expect(Listener.isLoopback(host), "\(host)")
        }
        for host in ["0.0.0.0", "::", "127.0.0.1.example.com", "127.example.com", "", "10.0.0.1"] {
            #expect(!Listener.isLoopback(host), "\(host)")
        }
    }

    @Test("a stale socket is taken over, one in use and a file are not")
    func unixSockets() throws {
        let scratch = try ScratchDirectory()
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
}
