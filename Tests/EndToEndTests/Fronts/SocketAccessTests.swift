import Glibc
import Posix
import TestSupport
import Testing

extension EndToEnd {
    /// The users who can connect to the program's socket: each of them can push as any user.
    @Suite struct SocketAccessTests {
        private let place: CommandPlace
        private var socket: String { place.directory.path + "/socket" }

        init() throws {
            place = try CommandPlace()
            try place.run(["create", "a/b"]).checked()
            // The parent directories are open to all, so that the socket's own permissions decide.
            if let parent = Files.parent(of: place.directory.path) {
                #expect(chmod(parent, 0o711) == 0)
            }
            #expect(chmod(place.directory.path, 0o711) == 0)
        }

        /// Serves with options and variables while `body` runs.
        private func serve(
            _ options: [String], _ environment: [String: String] = [:], _ body: () throws -> Void
        ) throws {
            let service = try Service(
                try Programs.server(),
                ["serve", "--listen", "unix:\(socket)"] + place.options + options,
                environment: ["PATH": "/usr/bin:/bin", "HOME": "/nonexistent"]
                    .merging(environment) { $1 },
                log: place.directory.path + "/log")
            try service.waitUntilReady { (try? Sockets.connect(path: socket)) != nil }
            try body()
            service.signal(SIGTERM)
            #expect(try service.waitForEnd() == .exited(0))
        }

        private func status() throws -> stat {
            var status = stat()
            try check("stat", socket) { stat(socket, &status) }
            return status
        }

        private func expectMode(
            _ mode: mode_t, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let actual = try status().st_mode & 0o7777
            #expect(actual == mode, sourceLocation: sourceLocation)
        }

        /// Expects that the user `nobody`, of a group, can connect or is not permitted to.
        private func expectNobody(
            of group: String, connects: Bool, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let python = try Programs.find("python3", remedy: "apt install python3")
            let result = try Command(
                try Programs.find("setpriv", remedy: "apt install util-linux"),
                [
                    "--reuid=nobody", "--regid=\(group)", "--clear-groups", "--", python, "-c",
                    "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])",
                    socket,
                ]
            ).run()
            #expect(result.succeeded == connects, "\(result)", sourceLocation: sourceLocation)
            if !connects {
                #expect(
                    result.errors.contains("PermissionError"), "\(result)",
                    sourceLocation: sourceLocation)
            }
        }

        // W3
        @Test func socketIsForItsOwnerAndGroupUnlessAskedOtherwise() throws {
            // Only root can change the user, and give the socket to another group.
            let isRoot = geteuid() == 0
            try serve([]) {
                try expectMode(0o660)
                if isRoot { try expectNobody(of: "nogroup", connects: false) }
            }
            try serve(["--listen-mode", "666"]) {
                try expectMode(0o666)
                if isRoot { try expectNobody(of: "nogroup", connects: true) }
            }
            try serve([], ["GIT_S3_BACKEND_LISTEN_MODE": "0600"]) {
                try expectMode(0o600)
            }
            guard isRoot else { return }
            try serve(["--listen-group", "nogroup"]) {
                try expectMode(0o660)
                try expectNobody(of: "nogroup", connects: true)
                try expectNobody(of: "daemon", connects: false)
            }
            try serve([], ["GIT_S3_BACKEND_LISTEN_GROUP": "1"]) {
                let group = try status().st_gid
                #expect(group == 1)
            }
        }

        // W3
        @Test func accessThatCannotBeGivenIsRefused() throws {
            let unix = ["--listen", "unix:\(socket)"]
            for (options, message) in [
                (unix + ["--listen-mode", "rw"], "Invalid value 'rw' for --listen-mode"),
                (unix + ["--listen-mode", "888"], "Invalid value '888' for --listen-mode"),
                (unix + ["--listen-mode", "01777"], "Invalid value '01777' for --listen-mode"),
                (
                    unix + ["--listen-group", "no-such-group"],
                    "Group 'no-such-group' of --listen-group does not exist."
                ),
                (
                    ["--listen", "127.0.0.1:9000", "--listen-mode", "0660"],
                    "--listen-mode applies only to --listen unix:/path."
                ),
                (
                    ["--listen-group", "root"],
                    "--listen-group applies only to --listen unix:/path."
                ),
                (["--url-suffix", "both,none"], "Invalid value 'both,none' for --url-suffix"),
            ] {
                let result = try place.run(["serve"] + options)
                #expect(result.ending == .exited(64), "\(result)")
                #expect(result.errors.contains(message), "\(result)")
            }
        }

        private func request(_ variables: [String: String], _ body: [UInt8]) throws -> HTTPMessage {
            try FastCGI.request(
                on: try Sockets.connect(path: socket),
                [
                    "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "\(body.count)",
                    "CONTENT_TYPE": "application/x-git-receive-pack-request",
                ].merging(variables) { $1 }, body: body)
        }

        // W7
        @Test func probeWithoutAUserIsAnsweredAlikeForEveryRepository() throws {
            try serve([]) {
                var answers: [HTTPMessage] = []
                for name in ["a/b", "a/b.git", "no/such.git"] {
                    let path = ["PATH_INFO": "/\(name)/git-receive-pack"]
                    let probe = try request(path, PktLines.flush)
                    #expect(probe.status == 200 && probe.body.isEmpty, "\(name): \(probe)")
                    answers.append(probe)
                    for body in [
                        PktLines.flush + [0], Array("0001".utf8), Array("000".utf8), [],
                        PktLines.flush + PktLines.flush,
                    ] {
                        let other = try request(path, body)
                        #expect(other.status == 403, "\(name) \(body): \(other)")
                    }
                    // A request without a length is not git's probe.
                    let open = try request(
                        path.merging(["CONTENT_LENGTH": ""]) { $1 }, PktLines.flush)
                    #expect(open.status == 403, "\(name): \(open)")
                }
                let types = Set(answers.map { $0.header("Content-Type") })
                #expect(types == ["application/x-git-receive-pack-result"])
            }
        }
    }
}
