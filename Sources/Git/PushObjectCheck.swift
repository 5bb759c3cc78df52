import Bytes
import GitProtocol
import Glibc
import Posix

/// The way in which git checks the objects of a push before it accepts them. git-config(1),
/// `receive.fsckObjects`.
package struct PushObjectCheck: Equatable, Sendable {
    /// The level that an operator chooses.
    package enum Level: String, CaseIterable, Sendable {
        /// Errors and warnings of git are refused.
        case strict
        /// They are shown to the pusher and accepted, except for those that git never accepts.
        case warn
        /// Nothing is checked, as in git's default.
        case off
    }

    package let level: Level
    /// The messages of git-fsck(1) that are shown and accepted.
    let accepted: [String]

    fileprivate init(_ level: Level, accepting accepted: [String]) {
        self.level = level
        self.accepted = accepted
    }

    package static let strict = PushObjectCheck(.strict, accepting: [])

    /// The corresponding settings of git.
    var configuration: [String] {
        let isOn = level != .off
        return ["receive.fsckObjects=\(isOn)", "transfer.fsckObjects=\(isOn)"]
            + accepted.map { "receive.fsck.\($0)=warn" }
    }

    /// A message that the installed git does not know, or that it never accepts.
    package struct BadMessage: Error, Equatable, CustomStringConvertible {
        package let message: String
        /// git's own error message.
        let reason: String

        package var description: String {
            "Invalid value '\(message)' for --fsck-accept: git says '\(reason)'. See git-fsck(1) "
                + "for the messages that it knows."
        }
    }
}

extension GitProgram {
    /// Returns the same git, but with pushes checked at this level. The messages that the installed
    /// git knows are learned from it once, and stored in the state directory.
    ///
    /// - Parameter accepted: messages of git-fsck(1), such as `zeroPaddedFilemode`, that are only
    ///   warnings.
    /// - Throws: ``PushObjectCheck/BadMessage``, ``GitError``, ``StoreError``.
    package func checkingPushes(
        _ level: PushObjectCheck.Level, accepting accepted: [String] = [], in state: StateDirectory
    ) throws -> GitProgram {
        var git = self
        switch level {
        case .off: git.pushCheck = PushObjectCheck(.off, accepting: [])
        case .strict:
            let unknown = accepted.isEmpty ? [] : Set(accepted).subtracting(try messages(in: state))
            // The list is checked first because it is cached; for other messages git gives a
            // reason.
            for message in unknown.sorted() {
                if let reason = try refusal(of: message, in: state) {
                    throw PushObjectCheck.BadMessage(message: message, reason: reason)
                }
            }
            git.pushCheck = PushObjectCheck(.strict, accepting: accepted)
        case .warn:
            git.pushCheck = PushObjectCheck(.warn, accepting: try messages(in: state))
        }
        return git
    }

    /// The messages that can be made warnings.
    private func messages(in state: StateDirectory) throws -> [String] {
        let path = try "\(state.path)/capabilities/\(identity)/fsck-messages"
        // A list that is missing, or was truncated by a crash, is learned again.
        if let kept = try? Files.read(path), kept.last == UInt8(ascii: "\n") {
            return Self.words(kept)
        }
        let learned = try learnMessages(in: state)
        try Files.makeDirectories(Files.parent(of: path) ?? "/")
        let temporary = "\(path).\(Hex.random(bytes: 8))"
        try Files.write(Array(learned.map { "\($0)\n" }.joined().utf8), to: temporary)
        _ = try check("rename", path) { rename(temporary, path) }
        return learned
    }

    /// git lists the messages among its variables. Those that are always fatal are detected by
    /// trying.
    private func learnMessages(in state: StateDirectory) throws -> [String] {
        let workspace = try Workspace.scratch(.sha1, in: state)
        let result = try output(
            GitRun(
                ["help", "--config-for-completion"], to: "learn the messages of git's checks",
                limits: .none),
            in: workspace)
        try result.ending.require()
        let prefix = "receive.fsck."
        return try Self.words(result.bytes).filter { $0.hasPrefix(prefix) }
            .map { String($0.dropFirst(prefix.count)) }
            // It specifies a file of objects, and is not a message.
            .filter { $0 != "skipList" }
            .filter { try refusal(of: $0, in: state) == nil }
    }

    /// git's reason why a message cannot be a warning; nil if it can.
    private func refusal(of message: String, in state: StateDirectory) throws -> String? {
        let workspace = try Workspace.scratch(.sha1, in: state)
        let ending = try output(
            GitRun(
                ["-c", "fsck.\(message)=warn", "fsck", "--no-dangling"],
                to: "ask git about the messages of its checks", limits: .none),
            in: workspace
        ).ending
        return ending.succeeded ? nil : ending.reason
    }

    private static func words(_ text: [UInt8]) -> [String] {
        text.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
    }
}
