/// A repository's refs in the form in which git's services send them, created without git.
package struct RefListing: Sendable {
    private let head: RefName
    private let refs: [RefName: ObjectID]
    private let peeled: [RefName: ObjectID]
    /// The object id of HEAD's branch; nil if the branch is unborn.
    private let headID: ObjectID?

    /// - Parameter peeled: annotated tag ref → the object that it fully peels to; others do not
    ///   peel.
    package init(head: RefName, refs: [RefName: ObjectID], peeled: [RefName: ObjectID]) {
        self.head = head
        self.refs = refs
        self.peeled = peeled
        headID = refs[head]
    }

    package var isEmpty: Bool { refs.isEmpty }

    /// The wanted refs, sorted by name. They are selected first, since often only few of many are
    /// wanted.
    private func sorted(
        where isWanted: (RefName) -> Bool = { _ in true }
    ) -> [(name: RefName, id: ObjectID)] {
        refs.filter { isWanted($0.key) }.map { ($0.key, $0.value) }.sorted { $0.name < $1.name }
    }

    /// The advertisement of `git upload-pack` in v0 and v1; there must be refs.
    package func uploadPackAdvertisement(_ capabilities: AdvertisedCapabilities) -> [UInt8] {
        var lines: [[UInt8]] = []
        if let headID { lines.append(Self.line(headID, Array("HEAD".utf8))) }
        for (name, id) in sorted() {
            lines.append(Self.line(id, name.bytes))
            if let target = peeled[name] {
                lines.append(Self.line(target, name.bytes + Array("^{}".utf8)))
            }
        }
        return Self.advertisement(
            lines, capabilities.beginning, capabilities.list(head: headID == nil ? nil : head))
    }

    /// The advertisement of `git receive-pack` in v0 and v1.
    package func receivePackAdvertisement(_ capabilities: AdvertisedCapabilities) -> [UInt8] {
        var lines = sorted().map { Self.line($0.id, $0.name.bytes) }
        if lines.isEmpty {
            let zero = ObjectID.zero(capabilities.objectFormat)
            lines.append(Self.line(zero, Array("capabilities^{}".utf8)))
        }
        return Self.advertisement(lines, capabilities.beginning, capabilities.list(head: nil))
    }

    /// The answer to protocol v2's `ls-refs`. gitprotocol-v2(5).
    package func answer(to request: LsRefsRequest) -> [UInt8] {
        var bytes: [UInt8] = []
        let headName = Array("HEAD".utf8)
        let symref = Array(" symref-target:".utf8) + head.bytes
        if request.matches(headName) {
            if let headID {
                let line = Self.line(headID, headName) + (request.symrefs ? symref : [])
                PktLine.append(line + [UInt8(ascii: "\n")], to: &bytes)
            } else if request.unborn, request.symrefs {
                let line = Array("unborn HEAD".utf8) + symref
                PktLine.append(line + [UInt8(ascii: "\n")], to: &bytes)
            }
        }
        for (name, id) in sorted(where: { request.matches($0.bytes) }) {
            var line = Self.line(id, name.bytes)
            if request.peel, let target = peeled[name] {
                line += Array(" peeled:\(target)".utf8)
            }
            PktLine.append(line + [UInt8(ascii: "\n")], to: &bytes)
        }
        return bytes + PktLine.flushBytes
    }

    private static func line(_ id: ObjectID, _ name: [UInt8]) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(id.format.hexLength + 1 + name.count)
        id.appendHex(to: &line)
        line.append(UInt8(ascii: " "))
        return line + name
    }

    private static func advertisement(
        _ lines: [[UInt8]], _ beginning: [UInt8], _ capabilities: [UInt8]
    ) -> [UInt8] {
        var bytes = beginning
        for (index, line) in lines.enumerated() {
            let tail = index == 0 ? [0] + capabilities : []
            PktLine.append(line + tail + [UInt8(ascii: "\n")], to: &bytes)
        }
        return bytes + PktLine.flushBytes
    }
}
