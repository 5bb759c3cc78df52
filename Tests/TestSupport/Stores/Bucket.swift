import Bytes
import Foundation
import ObjectStore
import Posix
import S3Store

/// A store's objects, used by one test or by several, accessed without the program: to damage them,
/// and to inspect what it wrote.
package final class Bucket: Sendable {
    enum Place: Sendable {
        case file(TemporaryDirectory)
        case seaweed(SeaweedFS, bucket: String, prefix: String)
    }

    private let place: Place
    let store: any ObjectStore

    init(_ place: Place) throws {
        self.place = place
        switch place {
        case .file(let directory):
            store = try FileStore(location: "file://\(directory.path)")
        case .seaweed(let server, let bucket, let prefix):
            store = try S3Store(
                location: server.storeURL(bucket: bucket, prefix: prefix),
                environment: server.environment)
        }
    }

    /// The variables that the program needs to reach the store.
    package var environment: [String: String] {
        switch place {
        case .file: [:]
        case .seaweed(let server, _, _): server.environment
        }
    }

    /// The store's URL in the form that the program accepts.
    ///
    /// - Parameter proxy: the proxy through which a store on the network is reached.
    package func url(through proxy: FaultProxy? = nil) -> String {
        switch place {
        case .file(let directory): return "file://\(directory.path)"
        case .seaweed(let server, let bucket, let prefix):
            let endpoint = proxy.map { "http://127.0.0.1:\($0.port)" } ?? server.endpoint
            return "s3://\(bucket)/\(prefix)?endpoint=\(endpoint)&region=us-east-1"
        }
    }

    /// Stores the server's admission in a state directory. The server is probed once for all tests:
    /// on SeaweedFS, where writers of one key wait for each other in steps of a quarter of a
    /// second, a probe takes most of a minute.
    ///
    /// - Parameter name: replaces the server's own name.
    package func admit(
        in state: String, through proxy: FaultProxy?, asServer name: String? = nil
    ) throws {
        guard case .seaweed(let server, _, _) = place else { return }
        let location = try S3Store(
            location: url(through: proxy), environment: server.environment
        ).location
        let lines = try Self.admission.get().split(separator: "\n").map { line in
            if line.hasPrefix("store-sha256 ") {
                "store-sha256 \(Digest(of: Array(location.utf8)))"
            } else if line.hasPrefix("store ") {
                "store \(location)"
            } else if let name, line.hasPrefix("server ") {
                "server \(name)"
            } else {
                String(line)
            }
        }
        try Files.makeDirectories(state + "/admission")
        let text = lines.map { $0 + "\n" }.joined()
        try Files.write(
            Array(text.utf8), to: "\(state)/admission/\(Digest(of: Array(location.utf8)))")
    }

    /// The record of a real probe of the server.
    private static let admission = Result {
        let scratch = try TemporaryDirectory()
        let server = try SeaweedFS.shared()
        let store = try S3Store(
            location: server.storeURL(bucket: server.makeBucket()), environment: server.environment)
        _ = try Admission.admit(store, stateDirectory: scratch.path)
        let directory = scratch.path + "/admission"
        guard let name = try Files.names(in: directory).first(where: { !$0.hasSuffix(".lock") })
        else { throw TestFailure("an admission left no record") }
        return String(decoding: try Files.read("\(directory)/\(name)"), as: UTF8.self)
    }

    /// A proxy in front of the store's server.
    package func makeProxy() throws -> FaultProxy {
        guard case .seaweed(let server, _, _) = place,
            let port = server.endpoint.split(separator: ":").last.flatMap({ UInt16($0) })
        else { throw TestFailure("There is no server before a file store.") }
        return try FaultProxy(upstream: port)
    }

    /// An object, by its kind and name.
    package enum Item: Hashable, Sendable, CustomStringConvertible {
        /// `OWNER/REPO`.
        case pointer(String)
        /// Digests, in hex.
        case manifest(String)
        case pack(String)
        case index(String)

        package var description: String {
            switch self {
            case .pointer(let name): "repos/\(name)/pointer"
            case .manifest(let digest): "manifests/\(digest)"
            case .pack(let digest): "packs/\(digest)"
            case .index(let digest): "packs/\(digest).idx"
            }
        }

        fileprivate func key() throws -> ObjectKey {
            switch self {
            case .pointer(let name):
                guard let name = RepositoryName(name) else { break }
                return .pointer(of: name)
            case .manifest(let digest):
                guard let digest = Digest(hex: digest) else { break }
                return .manifest(digest)
            case .pack(let digest):
                guard let digest = Digest(hex: digest) else { break }
                return .pack(digest)
            case .index(let digest):
                guard let digest = Digest(hex: digest) else { break }
                return .packIndex(digest)
            }
            throw TestFailure("'\(self)' is no object's name")
        }
    }

    /// An object's bytes; nil if it does not exist.
    package func read(_ item: Item) throws -> [UInt8]? {
        switch try perform(.get(try item.key(), into: .memory(limit: 1 << 28))) {
        case .found(let object): return object.bytes
        case .absent: return nil
        case let other: throw TestFailure("reading '\(item)': \(other)")
        }
    }

    /// Replaces an object by any bytes. A file is edited in place, as a careless person would; S3
    /// offers nothing but a request.
    package func overwrite(_ item: Item, with bytes: [UInt8]) throws {
        switch place {
        case .file(let directory):
            try Files.write(bytes, to: "\(directory.path)/\(item)")
        case .seaweed:
            guard case .stored = try perform(.put(.bytes(bytes), at: try item.key(), .always))
            else { throw TestFailure("'\(item)' could not be written") }
        }
    }

    package func delete(_ item: Item) throws {
        guard case .deleted = try perform(.delete(try item.key())) else {
            throw TestFailure("'\(item)' could not be deleted")
        }
    }

    /// The digest that a repository's pointer contains.
    package func pointer(of repository: String) throws -> String {
        guard let bytes = try read(.pointer(repository)) else {
            throw TestFailure("'\(repository)' has no pointer")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The digests of a repository's packs.
    package func packs(of repository: String) throws -> [String] {
        let manifest = try read(.manifest(try pointer(of: repository))) ?? []
        let fields = try JSONSerialization.jsonObject(with: Data(manifest)) as? [String: Any]
        guard let packs = fields?["packs"] as? [String] else {
            throw TestFailure("no packs in \(String(decoding: manifest, as: UTF8.self))")
        }
        return packs.map { String($0.dropFirst("packs/".count)) }
    }

    private func perform(_ request: StoreRequest) throws -> StoreAnswer {
        guard let result = store.perform([request]).first else {
            throw TestFailure("no result of \(request)")
        }
        return try result.get()
    }
}
