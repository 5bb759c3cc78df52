package import Git
package import GitProtocol
package import Repository

/// The answers that need only the manifest, neither git nor objects: ref advertisements and protocol
/// v2's `ls-refs`.
package struct ManifestAnswers: Sendable {
    private let learned: LearnedCapabilities

    package init(_ learned: LearnedCapabilities) {
        self.learned = learned
    }

    /// A service's advertisement; nil if the manifest does not contain enough for it.
    package func advertisement(
        of service: GitService, _ version: ProtocolVersion, _ manifest: Manifest,
        limits: GitLimits
    ) throws -> [UInt8]? {
        let format = manifest.objectFormat
        switch service {
        case .receivePack:
            // receive-pack does not know version 2 and answers as in version 0.
            let version = version == .v2 ? .v0 : version
            let capabilities = try learned.capabilities(
                of: service, version, format, limits: limits)
            return RefListing(manifest, peeled: [:]).receivePackAdvertisement(capabilities)
        case .uploadPack:
            if version == .v2 || manifest.refs.isEmpty {
                return try learned.advertisementWithoutRefs(
                    of: service, version, format, limits: limits)
            }
            guard let peeled = manifest.knownPeeled else { return nil }
            return RefListing(manifest, peeled: peeled).uploadPackAdvertisement(
                try learned.capabilities(
                    of: service, version, format, limits: limits))
        }
    }

    /// The answer to a request for `ls-refs`; nil if git has to answer, from the request's beginning.
    package func lsRefs(_ request: PktLineReader, _ manifest: Manifest) throws -> [UInt8]? {
        guard let peeled = manifest.knownPeeled else { return nil }
        let request = try LsRefsRequest.read(from: request, format: manifest.objectFormat)
        return request.map { RefListing(manifest, peeled: peeled).answer(to: $0) }
    }
}

extension RefListing {
    fileprivate init(_ manifest: Manifest, peeled: [RefName: ObjectID]) {
        self.init(head: manifest.head, refs: manifest.refs, peeled: peeled)
    }
}

extension Manifest {
    /// The objects that refs peel to; nil if the manifest does not contain them.
    fileprivate var knownPeeled: [RefName: ObjectID]? {
        peeled ?? (needsPeeled ? nil : [:])
    }
}
