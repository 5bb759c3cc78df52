import GitProtocol
import Repository

/// What is answered from the manifest alone, without git and without objects: ref advertisements
/// and protocol v2's `ls-refs`.
struct ManifestAnswers: Sendable {
    private let learned: LearnedCapabilities

    init(_ learned: LearnedCapabilities) {
        self.learned = learned
    }

    /// A service's advertisement; nil where the manifest does not say what is needed for it.
    func advertisement(
        of service: UploadPack.Service, _ version: ProtocolVersion, _ manifest: Manifest
    ) throws -> [UInt8]? {
        let format = manifest.objectFormat
        switch service {
        case .receivePack:
            // receive-pack knows no version 2 and answers as in version 0.
            let version = version == .v2 ? .v0 : version
            let capabilities = try learned.capabilities(of: service, version, format)
            return RefListing(manifest, peeled: [:]).receivePackAdvertisement(capabilities)
        case .uploadPack:
            if version == .v2 || manifest.refs.isEmpty {
                return try learned.advertisementWithoutRefs(of: service, version, format)
            }
            guard let peeled = manifest.knownPeeled else { return nil }
            return RefListing(manifest, peeled: peeled).uploadPackAdvertisement(
                try learned.capabilities(of: service, version, format))
        }
    }

    /// The answer to `ls-refs`; nil, with the body as it was, where that is for git to give.
    func lsRefs(_ body: Body, _ manifest: Manifest) throws -> [UInt8]? {
        guard let peeled = manifest.knownPeeled else { return nil }
        let request = try body.peek {
            try LsRefsRequest.read(from: $0, format: manifest.objectFormat)
        }
        return request.map { RefListing(manifest, peeled: peeled).answer(to: $0) }
    }
}

extension RefListing {
    fileprivate init(_ manifest: Manifest, peeled: [RefName: ObjectID]) {
        self.init(head: manifest.head, refs: manifest.refs, peeled: peeled)
    }
}

extension Manifest {
    /// What refs peel to; nil where the manifest does not tell.
    fileprivate var knownPeeled: [RefName: ObjectID]? {
        peeled ?? (needsPeeled ? nil : [:])
    }
}
