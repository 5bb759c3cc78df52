package import GitProtocol
import Glibc

/// The messages of a run of git on standard error. No other place knows git's messages.
///
/// git quotes its clients, who can therefore choose much of the text: it must not decide anything
/// that a client must not decide. Each message cites the file of git's source that contains it;
/// they were compared with git 2.39.5 and 2.55.
package struct GitWords: Equatable, Sendable {
    /// The text, in one line.
    package let text: String

    /// The number of bytes, and of lines, that are kept of a longer output.
    package static let limit = 2000
    private static let lineLimit = 5

    init(lines: some Collection<String>) {
        text = lines.suffix(Self.lineLimit).joined(separator: "; ")
    }

    /// Parses the end of standard error.
    init(_ bytes: [UInt8]) {
        let end = String(decoding: bytes.suffix(Self.limit), as: UTF8.self)
        self.init(lines: end.split(separator: "\n").map(String.init))
    }

    /// Parses the end of git's messages to a client, and omits progress, whose lines contain
    /// carriage returns. progress.c.
    package init(toClient bytes: [UInt8]) {
        let end = String(decoding: bytes.suffix(Self.limit), as: UTF8.self)
        self.init(
            lines: end.unicodeScalars.split(separator: "\n")
                .filter { !$0.contains("\r") && !$0.isEmpty }.map { String($0) })
    }

    package var isEmpty: Bool { text.isEmpty }

    // MARK: A fetch

    /// Messages of upload-pack about a request that is the client's fault.
    private static let complaints = [
        // serve.c
        "invalid command", "no command requested", "after already requesting command",
        "unknown capability", "unknown object format", "mismatched object format",
        "requires an argument",
        // upload-pack.c
        "ambiguous deepen-not", "(or deepen-not) cannot be used together", "invalid shallow line",
        "invalid shallow object", "filtering capability not negotiated", "Invalid deepen",
        "expected SHA1", "' not supported",
        // upload-pack.c, ls-refs.c
        "unexpected line", "expected flush",
        // shallow.c
        "no commits selected for shallow requests",
        // upload-pack.c, pkt-line.c
        "protocol error",
        // pkt-line.c
        "hung up unexpectedly", "remote error: ",
        // list-objects-filter-options.c
        "filter-spec", "expected 'tree:<depth>'", "'object:type=<type>'", "sparse:path filters",
        "expected something after combine",
    ]

    /// Whether upload-pack failed because of its request, and not because of the stored repository.
    /// The client may have chosen the words, so they only decide how the request is logged and
    /// answered.
    ///
    /// - Parameter refs: the objects that the repository's refs point to.
    package func blameClient(havingRefs refs: some Sequence<ObjectID>) -> Bool {
        // upload-pack.c
        if let match = text.firstMatch(of: /not our ref ([0-9a-f]+)/) {
            // A repository that lacks an object of its own refs is damaged.
            guard let id = ObjectID(match.output.1.utf8) else { return true }
            return !refs.contains(id)
        }
        return Self.complaints.contains { text.contains($0) }
    }

    // MARK: A push

    /// The exact reasons that receive-pack reports for a ref whose objects it cannot read.
    /// builtin/receive-pack.c.
    private static let unreadable = [
        "missing necessary objects", "failed to update ref", "bad ref",
    ].map { Array($0.utf8) }

    /// Whether a reason in a report can mean that this machine's files are damaged, or its disk full.
    package static func isSuspect(_ reason: [UInt8]) -> Bool { unreadable.contains(reason) }

    // MARK: Packing and checking

    /// Whether git ran out of disk space or memory, according to the error text: strerror(3), which
    /// usage.c appends.
    package var reportLocalFailure: Bool {
        [ENOSPC, EDQUOT, EFBIG, ENOMEM].contains { text.contains(String(cString: strerror($0))) }
    }

    /// Whether a check of objects failed: `fsck error in packed object`, or `in pack objects`.
    /// builtin/index-pack.c, builtin/unpack-objects.c.
    package var reportBadObject: Bool { text.contains("fsck error") }

    /// The message id of git-fsck(1) for which an object was refused; nil if there is none. fsck.c:
    /// `object <id>: <message>: <words>`.
    package var refusedMessage: String? {
        let words = text.split(separator: " ")
        guard let object = words.firstIndex(of: "object"), object + 2 < words.count,
            words[object + 2].hasSuffix(":")
        else { return nil }
        return String(words[object + 2].dropLast())
    }
}

/// Separates progress from messages: git ends a line that it will overwrite with a carriage return,
/// and the last line of a step with `, done.`. progress.c.
struct ProgressLines {
    private let progress: Progress
    private let title: String
    private var line: [UInt8] = []
    private var lines: [String] = []
    private var isOverwritten = false

    /// The number of bytes of a line that are kept.
    private static let lineLimit = 4096
    private static let end = Array(", done.".utf8)
    /// The number of lines that are kept of a longer output.
    private static let limit = 5

    init(progress: Progress, title: String) {
        self.progress = progress
        self.title = title
    }

    mutating func take(_ bytes: ArraySlice<UInt8>) {
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\r"): end(isProgress: true)
            case UInt8(ascii: "\n"): end(isProgress: isOverwritten || isEnd)
            default: if line.count < Self.lineLimit { line.append(byte) }
            }
        }
    }

    private var isEnd: Bool { line.suffix(Self.end.count).elementsEqual(Self.end) }

    private mutating func end(isProgress: Bool) {
        let text = String(decoding: line, as: UTF8.self)
        isOverwritten = isProgress && !isEnd
        line = []
        if text.isEmpty { return }
        if isProgress {
            progress.count("\(title): \(text)")
        } else {
            lines = (lines + [text]).suffix(Self.limit)
        }
    }

    /// Ends the last line.
    mutating func finish() -> GitWords {
        end(isProgress: false)
        return GitWords(lines: lines)
    }
}
