import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    @Suite struct ListeningTests {
        @Test func addressesBeyondLoopbackNeedAWord() throws {
            let place = try CommandPlace()
            for host in [
                "0.0.0.0", "[::]", "192.0.2.1", "127.0.0.1.example.org", "example.org", "*",
            ] {
                let result = try place.run(["serve", "--listen", "\(host):9000"])
                #expect(result.ending == .exited(64), "\(result)")
                #expect(
                    result.errors.contains(
                        "'\(host)' is reachable from other machines, and FastCGI has no "
                            + "authentication"), "\(result)")
            }
        }

        /// Starts the program with a socket as descriptor 0, or another input.
        private func start(
            _ arguments: [String], _ place: CommandPlace, input: Command.Input = .nothing,
            _ environment: [String: String] = [:]
        ) throws -> RunningCommand {
            let variables = [
                "PATH": "/usr/bin:/bin", "GIT_S3_BACKEND_STORE": place.store,
                "GIT_S3_BACKEND_STATE_DIR": place.directory.path + "/state",
            ].merging(environment) { $1 }
            return try Command(
                Programs.server(), arguments, environment: variables, directory: "/", input: input
            ).start()
        }

        private func refs(
            on socket: consuming OwnedDescriptor, _ repository: String
        ) throws -> HTTPMessage {
            try FastCGI.request(
                on: socket,
                [
                    "REQUEST_METHOD": "GET", "PATH_INFO": "/\(repository).git/info/refs",
                    "QUERY_STRING": "service=git-upload-pack",
                ])
        }

        @Test func inheritedSocketIsServedWithoutAnyOption() throws {
            let place = try CommandPlace()
            try place.run(["create", "a/b"]).checked()
            let listener = try Sockets.listen()
            let port = try Sockets.port(of: listener)
            // A web server that starts responders may set this, but the socket decides.
            let child = try start(
                [], place, input: .descriptor(listener.raw), ["GATEWAY_INTERFACE": "CGI/1.1"])
            let answer = try refs(on: try Sockets.connect(port: port), "a/b")
            #expect(answer.status == 200, "\(answer.text)")
            #expect(
                try refs(on: try Sockets.connect(port: port), "a/none").status == 404)
            child.signal(SIGTERM)
            #expect(try child.finish().ending == .exited(0))
            // The socket outlives the process: the next one serves the waiting connections.
            let next = try start(["serve"], place, input: .descriptor(listener.raw))
            #expect(try refs(on: try Sockets.connect(port: port), "a/b").status == 200)
            next.signal(SIGTERM)
            #expect(try next.finish().ending == .exited(0))
        }

        @Test func portOfLoopbackIsServedAndAStrangerMayNotPush() throws {
            let place = try CommandPlace()
            try place.run(["create", "a/b"]).checked()
            let port = try #require(try Sockets.freePorts(1).first)
            let child = try start(["serve", "--listen", "127.0.0.1:\(port)"], place)
            try wait(for: "the port to be served") { (try? Sockets.connect(port: port)) != nil }
            #expect(try refs(on: try Sockets.connect(port: port), "a/b").status == 200)
            for user in [[:], ["REMOTE_USER": ""], ["HTTP_AUTHORIZATION": "Basic YWxpY2U6"]] {
                let push = try FastCGI.request(
                    on: try Sockets.connect(port: port),
                    [
                        "REQUEST_METHOD": "POST", "PATH_INFO": "/a/b/git-receive-pack",
                        "CONTENT_TYPE": "application/x-git-receive-pack-request",
                        "CONTENT_LENGTH": "5",
                    ].merging(user) { $1 }, body: PktLines.flush + [0])
                #expect(push.status == 403, "\(push.text)")
            }
            child.signal(SIGTERM)
            #expect(try child.finish().ending == .exited(0))
        }
    }
}
