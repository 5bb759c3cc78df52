import Glibc
package import Posix

/// The words that the pre-receive hook and the responder exchange, over a socket that only the
/// children of one receive-pack have, as descriptor 3.
///
/// The hook sends one question, the responder one answer: a kind of one byte, the length of what
/// follows in four bytes, most significant first, and that many bytes. Whatever else happens on
/// the channel (nothing, an end, other bytes) is no allow.
package struct BridgeChannel: ~Copyable {
    /// The hook's descriptor.
    package static let hookDescriptor: Int32 = 3

    private let descriptor: OwnedDescriptor

    package init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// A word's kind.
    package enum Kind: UInt8, Sendable {
        /// The hook's: what pre-receive read on its standard input. githooks(5).
        case question = 0x51
        /// The responder's: go on. What follows is shown to the pusher.
        case allow = 0x41
        /// The responder's: refuse. What follows is shown to the pusher.
        case deny = 0x44
    }

    /// One word.
    package struct Word: Equatable, Sendable {
        package let kind: Kind
        package let bytes: [UInt8]

        package init(_ kind: Kind, _ bytes: [UInt8]) {
            self.kind = kind
            self.bytes = bytes
        }
    }

    /// Bytes; half a million refs of a hundred bytes and two ids each.
    package static let maximumLength = 128 << 20

    /// Sends a word.
    package func send(_ word: Word) throws(SystemError) {
        let length = UInt32(word.bytes.count)
        let header =
            [word.kind.rawValue] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) }
        try writeAll(descriptor.raw, header + word.bytes)
    }

    /// Receives a word; nil where the channel ends first, or says something else.
    package func receive() throws(SystemError) -> Word? {
        guard let header = try read(5), let kind = Kind(rawValue: header[0]) else { return nil }
        let length = header[1...].reduce(0) { $0 << 8 | Int($1) }
        guard length <= Self.maximumLength, let bytes = try read(length) else { return nil }
        return Word(kind, bytes)
    }

    private func read(_ count: Int) throws(SystemError) -> [UInt8]? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: min(max(count, 1), 1 << 16))
        while bytes.count < count {
            let wanted = min(count - bytes.count, chunk.count)
            let got = try chunk.withMutableBytes { (buffer) throws(SystemError) in
                try readSome(
                    descriptor.raw, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
                )
            }
            if got == 0 { return nil }
            bytes += chunk[..<got]
        }
        return bytes
    }
}
