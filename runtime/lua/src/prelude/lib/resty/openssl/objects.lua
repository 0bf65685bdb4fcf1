-- `resty.openssl.objects`: the object identifiers of names, keys and extensions.
local type = type

-- Identifier, OpenSSL's number, short and long name.
local OBJECTS = {
  { "1.2.840.113549.1.1.1", 6, "rsaEncryption", "rsaEncryption" },
  { "1.2.840.10045.2.1", 408, "id-ecPublicKey", "id-ecPublicKey" },
  { "1.2.840.10045.3.1.7", 415, "prime256v1", "prime256v1" },
  { "1.3.132.0.34", 715, "secp384r1", "secp384r1" },
  { "1.3.101.112", 1087, "ED25519", "ED25519" },
  { "2.5.4.3", 13, "CN", "commonName" },
  { "2.5.4.4", 100, "SN", "surname" },
  { "2.5.4.5", 105, "serialNumber", "serialNumber" },
  { "2.5.4.6", 14, "C", "countryName" },
  { "2.5.4.7", 15, "L", "localityName" },
  { "2.5.4.8", 16, "ST", "stateOrProvinceName" },
  { "2.5.4.9", 660, "street", "streetAddress" },
  { "2.5.4.10", 17, "O", "organizationName" },
  { "2.5.4.11", 18, "OU", "organizationalUnitName" },
  { "2.5.4.12", 106, "title", "title" },
  { "2.5.4.17", 661, "postalCode", "postalCode" },
  { "2.5.4.42", 99, "GN", "givenName" },
  { "2.5.4.43", 101, "initials", "initials" },
  { "2.5.4.46", 174, "dnQualifier", "dnQualifier" },
  { "0.9.2342.19200300.100.1.1", 458, "UID", "userId" },
  { "0.9.2342.19200300.100.1.25", 391, "DC", "domainComponent" },
  { "1.2.840.113549.1.9.1", 48, "emailAddress", "emailAddress" },
  { "2.5.29.14", 82, "subjectKeyIdentifier", "X509v3 Subject Key Identifier" },
  { "2.5.29.15", 83, "keyUsage", "X509v3 Key Usage" },
  { "2.5.29.17", 85, "subjectAltName", "X509v3 Subject Alternative Name" },
  { "2.5.29.18", 86, "issuerAltName", "X509v3 Issuer Alternative Name" },
  { "2.5.29.19", 87, "basicConstraints", "X509v3 Basic Constraints" },
  { "2.5.29.31", 103, "crlDistributionPoints", "X509v3 CRL Distribution Points" },
  { "2.5.29.32", 89, "certificatePolicies", "X509v3 Certificate Policies" },
  { "2.5.29.35", 90, "authorityKeyIdentifier", "X509v3 Authority Key Identifier" },
  { "2.5.29.37", 126, "extendedKeyUsage", "X509v3 Extended Key Usage" },
  { "1.3.6.1.5.5.7.1.1", 177, "authorityInfoAccess", "Authority Information Access" },
}

-- By identifier, number and both names.
local known = {}
for _, row in ipairs(OBJECTS) do
  local object = { id = row[1], nid = row[2], sn = row[3], ln = row[4] }
  for index = 1, 4 do known[row[index]] = object end
end

local module = {}

function module.find(name) return known[name] end

-- A table of its own.
function module.nid2table(nid)
  local object = known[nid]
  if not object then return nil end
  return { id = object.id, nid = object.nid, sn = object.sn, ln = object.ln }
end

function module.txt2nid(name)
  if type(name) ~= "string" then return nil, "objects.txt2nid: expect a string at #1" end
  local object = known[name]
  if not object then return nil, "objects.txt2nid: invalid NID text " .. name end
  return object.nid
end

function module.txtnid2nid(name)
  if type(name) == "number" then return name end
  return module.txt2nid(name)
end

return module
