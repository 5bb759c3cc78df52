import Glibc
package import Posix

/// The channel between the pre-receive hook and the server: a socket that only the children of one
/// receive-pack have, as descriptor 3.
///
/// The hook sends one question and the server one answer. Each is a word: one byte for its kind,
/// four bytes for the length of its text, most significant first, and the text. Anything else on
/// the channel (silence, an end, other bytes) is a refusal.
package struct BridgeChannel: ~Copyable {
    /// The descriptor that the hook inherits.
    package static let hookDescriptor: Int32 = 3

    private let descriptor: OwnedDescriptor

    package init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// The first byte of a word.
    package enum Kind: UInt8, Sendable {
        /// From the hook: its standard input. githooks(5), "pre-receive".
        case question = 0x51
        /// From the server: accept the push. The text is shown to the user.
        case allow = 0x41
        /// From the server: refuse the push. The text is shown to the user.
        case deny = 0x44
    }

    /// One message: a kind and a text.
    package struct Word: Equatable, Sendable {
        package let kind: Kind
        package let bytes: [UInt8]

        package init(_ kind: Kind, _ bytes: [UInt8]) {
            self.kind = kind
            self.bytes = bytes
        }
    }

    /// Bytes of the longest text: half a million refs of a hundred bytes, with two ids each.
    package static let maximumLength = 128 << 20

    /// Sends a word.
    package func send(_ word: Word) throws(SystemError) {
        let length = UInt32(word.bytes.count)
        let header =
            [word.kind.rawValue] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) }
        try writeAll(descriptor.raw, header + word.bytes)
    }

    /// Receives a word.
    ///
    /// - Returns: nil if the channel ends first, or if the bytes are not a word.
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
