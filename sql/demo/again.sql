SELECT count(*) AS characters, min(code) AS first, max(code) AS last FROM chars;
SELECT code, name, comment FROM chars WHERE code IN ('2603', '1F511', '0041');
SELECT count(*) AS deleted_and_back FROM chars WHERE name GLOB 'CJK COMPATIBILITY IDEOGRAPH-*';
