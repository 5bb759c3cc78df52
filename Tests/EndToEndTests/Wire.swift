import Posix
import TestSupport

/// pkt-lines as a client writes them. gitprotocol-common(5).
enum PktLines {
    static let flush = Array("0000".utf8)
    static let delimiter = Array("0001".utf8)

    static func line(_ payload: [UInt8]) -> [UInt8] {
        let digits = String(payload.count + 4, radix: 16)
        return Array(String(repeating: "0", count: 4 - digits.utf8.count).utf8)
            + Array(digits.utf8) + payload
    }

    static func line(_ payload: String) -> [UInt8] { line(Array(payload.utf8)) }
}

/// The body of a push: commands, push options left out, and a pack.
struct PushBody {
    struct Command {
        let old: String?
        let new: String?
        let name: [UInt8]

        /// nil stands for no object: the ref is created or deleted.
        init(old: String?, new: String?, _ name: [UInt8]) {
            self.old = old
            self.new = new
            self.name = name
        }

        init(old: String?, new: String?, _ name: String) {
            self.init(old: old, new: new, Array(name.utf8))
        }
    }

    let bytes: [UInt8]

    init(_ commands: [Command], capabilities: String, pack: [UInt8]) {
        let zero = String(repeating: "0", count: 40)
        var bytes: [UInt8] = []
        for (number, command) in commands.enumerated() {
            let ids = "\(command.old ?? zero) \(command.new ?? zero) "
            let tail = number == 0 ? [0] + Array(" \(capabilities)".utf8) : []
            bytes += PktLines.line(Array(ids.utf8) + command.name + tail)
        }
        self.bytes = bytes + PktLines.flush + pack
    }

    /// A pack without objects. gitformat-pack(5).
    static let emptyPack: [UInt8] =
        Array("PACK".utf8) + [0, 0, 0, 2, 0, 0, 0, 0] + [
            0x02, 0x9d, 0x08, 0x82, 0x3b, 0xd8, 0xa8, 0xea, 0xb5, 0x10, 0xad, 0x6a, 0xc7, 0x5c,
            0x82, 0x3c, 0xfd, 0x3e, 0xd3, 0x1e,
        ]
}

extension WorkTree {
    /// A pack of the objects that these revisions reach; `^` excludes.
    func pack(_ revisions: [String]) throws -> [UInt8] {
        try client.run(
            ["pack-objects", "--revs", "--stdout", "-q"], in: path,
            input: .bytes(Array(revisions.map { "\($0)\n" }.joined().utf8))
        ).checked().output
    }
}

extension Site {
    /// `Authorization` of a user who can push.
    static let authorization = (name: "Authorization", value: "Basic YWxpY2U6d29uZGVybGFuZA==")

    /// The body of a protocol v0 fetch of all objects that `ids` reach.
    static func wants(_ ids: [String]) -> [UInt8] {
        ids.enumerated().flatMap { number, id in
            PktLines.line("want \(id)\(number == 0 ? " no-progress" : "")\n")
        } + PktLines.flush + PktLines.line("done\n")
    }
}

extension GitHost {
    /// Posts a push as `alice`.
    func push(to repository: String, _ body: PushBody) throws -> HTTPMessage {
        try http.send(
            "POST", "/git/\(repository).git/git-receive-pack",
            headers: [
                Site.authorization, ("Content-Type", "application/x-git-receive-pack-request"),
            ], body: .bytes(body.bytes))
    }

    /// Posts a protocol v0 fetch of all objects that `ids` reach.
    func fetch(
        _ repository: String, _ ids: [String], headers: [(name: String, value: String)] = [],
        body: ([UInt8]) -> HTTPClient.Body = { .bytes($0) }
    ) throws -> HTTPMessage {
        try http.send(
            "POST", "/git/\(repository).git/git-upload-pack",
            headers: [("Content-Type", "application/x-git-upload-pack-request")] + headers,
            body: body(Site.wants(ids)))
    }

    /// The advertisement of a service.
    func advertisement(
        _ repository: String, service: String = "git-upload-pack",
        headers: [(name: String, value: String)] = []
    ) throws -> HTTPMessage {
        try http.send(
            "GET", "/git/\(repository).git/info/refs?service=\(service)", headers: headers)
    }
}
